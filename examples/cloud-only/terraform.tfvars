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
  client_cidrs = ["203.0.113.0/24"]
}

# One L40S with 48 GB: a model of 14 billion parameters in 16 bits.
serving = { instance_types = ["g6e.xlarge"], disk_gb = 200 }

pools = {
  gateway = {
    lifecycle      = "on-demand"
    roles          = ["gateway"]
    instance_types = ["m6i.large"]
    min            = 1
    desired        = 2
    max            = 2
    disk_gb        = 50
  }
}

watch = { emails = ["ops@example.com"], budget_usd = 3000 }
