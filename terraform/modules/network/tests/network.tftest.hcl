# Plans only. What provider 3.39 asks of EC2 when it starts (and does without) goes to a port where nothing listens: no
# test waits for an account.
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  max_retries                 = 1
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  endpoints {
    ec2 = "http://127.0.0.1:9"
  }
}

variables {
  name           = "test"
  region         = "us-east-1"
  operator_cidrs = ["203.0.113.7/32"]
  network = {
    cidr    = "10.20.0.0/16"
    subnets = { "us-east-1a" = "10.20.0.0/20", "us-east-1b" = "10.20.16.0/20" }
  }
}

run "what_is_made_by_default" {
  command = plan

  assert {
    condition = toset(flatten([
      for rule in aws_security_group.nodes.ingress : rule.cidr_blocks
    ])) == toset(["203.0.113.7/32"])
    error_message = "a range other than the operators' may reach the nodes"
  }

  assert {
    condition     = [for rule in aws_security_group.nodes.ingress : rule.to_port if length(rule.cidr_blocks) > 0] == [22]
    error_message = "the operators get ssh and no more"
  }

  assert {
    condition     = length(aws_security_group.engines) == 0
    error_message = "a group for engines that nobody asked for"
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.this : zone => subnet.cidr_block } == { for zone, cidr in var.network.subnets : zone => cidr }
    error_message = "one subnet a zone, with the range that was written"
  }

  assert {
    condition     = length(aws_route.internet) == 1 && alltrue([for s in aws_subnet.this : s.map_public_ip_on_launch])
    error_message = "a public network needs a route to the internet"
  }
}

run "gateways_reach_the_engines_ports_alone" {
  command = plan

  variables {
    engines = { cidrs = ["203.0.113.20/32"], ports = { from = 8001, to = 8099 } }
  }

  assert {
    condition = [for rule in aws_security_group.engines[0].ingress : [rule.protocol, rule.from_port, rule.to_port, rule.cidr_blocks]] == [
      ["tcp", 8001, 8099, tolist(["203.0.113.20/32"])]
    ]
    error_message = "gateways get the engines' ports and no more"
  }
}

run "the_internet_is_no_gateway" {
  command = plan

  variables {
    engines = { cidrs = ["0.0.0.0/0"], ports = { from = 8001, to = 8099 } }
  }

  expect_failures = [var.engines]
}

run "private_has_none" {
  command = plan

  variables {
    network = { cidr = "10.20.0.0/16", subnets = { "us-east-1a" = "10.20.0.0/20" }, public = false }
  }

  assert {
    condition     = length(aws_route.internet) == 0 && !aws_subnet.this["us-east-1a"].map_public_ip_on_launch
    error_message = "a private network must have no way to the internet"
  }
}

run "overlapping_subnets_are_refused" {
  command = plan

  variables {
    network = { cidr = "10.20.0.0/16", subnets = { "us-east-1a" = "10.20.0.0/20", "us-east-1b" = "10.20.8.0/21" } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_subnet_outside_is_refused" {
  command = plan

  variables {
    network = { cidr = "10.20.0.0/16", subnets = { "us-east-1a" = "10.21.0.0/20" } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_word_is_no_range" {
  command = plan

  variables {
    network = { cidr = "ten", subnets = { "us-east-1a" = "10.20.0.0/20" } }
  }

  expect_failures = [var.network]
}

run "the_whole_internet_is_no_operator" {
  command = plan

  variables {
    operator_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.operator_cidrs]
}
