# What only the lab decides; the rest are the defaults that a real account gets, too.
operator_cidrs = ["10.20.0.0/16"]
image          = { id = "ami-1e749f67" } # the only one that the lab's emulator has (tools/dualtrack/lab/images.json)
network = {
  cidr = "10.20.0.0/16"
  subnets = {
    "us-east-1a" = "10.20.0.0/20"
    "us-east-1b" = "10.20.16.0/20"
    "us-east-1c" = "10.20.32.0/20"
  }
  public = false # the lab reaches its hosts at their private addresses
}
# All that a pool can be: types to choose from, sizes by the hour, a second controller (hosts of the lab share /shared).
pools = {
  spot = {
    lifecycle      = "spot"
    roles          = ["gpu"]
    instance_types = ["p4de.24xlarge", "p4d.24xlarge"]
    desired        = 2
    max            = 8
    schedules = {
      night = { at = "22:00", desired = 4 }
      day   = { at = "08:00", desired = 2 }
    }
  }
  ondemand = {
    lifecycle      = "on-demand"
    roles          = ["gpu"]
    instance_types = ["p4de.24xlarge", "p4d.24xlarge"]
    desired        = 1
    max            = 2
  }
  control = {
    lifecycle      = "on-demand"
    roles          = ["controller"]
    instance_types = ["m6i.large"]
    min            = 2
    desired        = 2
    max            = 2
    disk_gb        = 50
  }
}
# Every class goes through every tier: what restores from an archive is run here.
storage = {
  checkpoints = { ia_days = 30, deep_archive_days = 90, noncurrent_days = 30, recovery_hours = 48 }
  weights     = { ia_days = 60, deep_archive_days = 180, noncurrent_days = 90, recovery_hours = 24, write_once = true }
  knowledge   = { ia_days = 90, deep_archive_days = 365, noncurrent_days = 90, recovery_hours = 24 }
  audit       = { ia_days = 30, deep_archive_days = 90, recovery_hours = 72 }
}
# The emulator cannot say who is told of a budget.
watch = {}
# A model on this track, too: small enough to answer without a GPU.
serving = { instance_types = ["m6i.large"], disk_gb = 50, gateway_cidrs = ["10.30.0.0/16"] }
# No traffic here: provider 3.39 waits a minute for a zone and its records, at every first `up`. For a lab that has them,
# DUALTRACK_VARIABLES names a JSON file: {"traffic": {"zone": "dualtrack.test", "domestic": {"addresses": ["203.0.113.10"]}}}
# (a name that can never be anyone's, and addresses for documents: the module rightly refuses private ones).
