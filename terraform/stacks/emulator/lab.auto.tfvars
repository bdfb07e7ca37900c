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
traffic = {
  zone = "dualtrack.test" # a name that can never be anyone's
  # Addresses for documents, since the module rightly refuses private ones; the emulator asks nothing there.
  domestic = { addresses = ["203.0.113.10"], standby = ["198.51.100.10"] }
}
