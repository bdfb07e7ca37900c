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
  name         = "test"
  public       = true
  client_cidrs = ["0.0.0.0/0"]
  tags         = { "dualtrack:deployment" = "test" }
  network = {
    vpc_id  = "vpc-1"
    cidr    = "10.20.0.0/16"
    subnets = { "us-east-1a" = { id = "subnet-a" }, "us-east-1b" = { id = "subnet-b" } }
  }
}

run "clients_come_from_everywhere" {
  command = plan

  assert {
    condition     = aws_lb.this.internal == false && toset(aws_lb.this.subnets) == toset(["subnet-a", "subnet-b"])
    error_message = "clients from the internet need a public address in every zone"
  }

  assert {
    condition     = [for rule in aws_security_group.clients.ingress : [rule.from_port, rule.to_port]] == [[443, 443]]
    error_message = "clients get the gateways' port and no other"
  }

  assert {
    condition     = aws_lb_listener.clients.protocol == "TCP" && aws_lb_target_group.gateways.protocol == "TCP"
    error_message = "TLS must end at the gateways"
  }

  assert {
    condition     = [for check in aws_lb_target_group.gateways.health_check : [check.protocol, check.path]] == [["HTTPS", "/healthz"]]
    error_message = "a gateway without an engine must get no requests"
  }
}

run "clients_of_some_networks_alone" {
  command = plan

  variables {
    public       = false
    client_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_lb.this.internal
    error_message = "a private network must not get a public load balancer"
  }

  assert {
    condition     = toset(flatten([for rule in aws_security_group.clients.ingress : rule.cidr_blocks])) == toset(["203.0.113.0/24", "10.20.0.0/16"])
    error_message = "somebody else may ask, or the load balancer cannot check"
  }
}

run "nobody_is_no_client" {
  command = plan

  variables {
    client_cidrs = []
  }

  expect_failures = [var.client_cidrs]
}

run "a_range_that_is_none" {
  command = plan

  variables {
    client_cidrs = ["everybody"]
  }

  expect_failures = [var.client_cidrs]
}

run "a_name_that_is_too_long" {
  command = plan

  variables {
    name = "a-name-of-24-characters-"
  }

  expect_failures = [var.name]
}
