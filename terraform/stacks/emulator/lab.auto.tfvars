# What only the lab decides; the rest are the defaults that a real account gets, too.
operator_cidrs = ["10.20.0.0/16"]
image          = { id = "ami-1e749f67" } # one of moto's own: the emulator refuses ids that it does not know
network = {
  cidr = "10.20.0.0/16"
  subnets = {
    "us-east-1a" = "10.20.0.0/20"
    "us-east-1b" = "10.20.16.0/20"
    "us-east-1c" = "10.20.32.0/20"
  }
  public = false # the lab reaches its hosts at their private addresses
}
# A model on this track, too: small enough to answer without a GPU.
serving = { instance_types = ["m6i.large"], disk_gb = 50, gateway_cidrs = ["10.30.0.0/16"] }
# No traffic here: provider 3.39 waits a minute for a zone and its records, at every first `up`. For a lab that has them,
# DUALTRACK_VARIABLES names a JSON file: {"traffic": {"zone": "dualtrack.test", "domestic": {"addresses": ["203.0.113.10"]}}}
# (a name that can never be anyone's, and addresses for documents: the module rightly refuses private ones).
