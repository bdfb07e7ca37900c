# terraform/stacks/aws/variables.tf has the rest and what it means. The public key comes from the command line.
region         = "us-east-1"
operator_cidrs = ["203.0.113.7/32"]

# Debian 12 for amd64 in your region:
#   aws ssm get-parameter --name /aws/service/debian/release/12/latest/amd64 --query Parameter.Value
image = { id = "ami-0123456789abcdef0" }

network = {
  cidr = "10.20.0.0/16"
  subnets = {
    "us-east-1a" = "10.20.0.0/20"
    "us-east-1b" = "10.20.16.0/20"
  }
}

pools = {
  # Training: more by night, when spot instances are cheap.
  spot = {
    lifecycle      = "spot"
    roles          = ["gpu"]
    instance_types = ["p4de.24xlarge", "p4d.24xlarge"]
    desired        = 1
    max            = 4
    schedules = {
      night = { at = "22:00", desired = 3 }
      day   = { at = "08:00", desired = 1 }
    }
  }
  # Slurm's controllers: one may fail.
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

# Answers while the local track does not.
serving = { instance_types = ["m6i.2xlarge"], gateway_cidrs = ["192.0.2.0/24"] }

watch = { emails = ["ops@example.com"], budget_usd = 20000 }
traffic = {
  zone     = "llm.example.com"
  domestic = { addresses = ["203.0.113.20"] }
}
