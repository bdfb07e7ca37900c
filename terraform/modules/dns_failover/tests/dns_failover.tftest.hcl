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
  deployment = "test"
  zone       = "llm.example.com"
  domestic   = { addresses = ["203.0.113.10", "203.0.113.11"], standby = ["198.51.100.10"] }
}

run "what_is_made_by_default" {
  command = plan

  assert {
    condition = {
      for r in aws_route53_record.api : r.geolocation_routing_policy[0].country => join(" ", concat([r.name, r.type], tolist(r.records)))
      } == {
      CN  = "api.llm.example.com CNAME domestic.llm.example.com"
      "*" = "api.llm.example.com CNAME overseas.llm.example.com"
    }
    error_message = "China to the local track, the rest of the world to the cloud"
  }

  assert {
    condition     = alltrue([for r in aws_route53_record.api : r.health_check_id == null])
    error_message = "an unhealthy country would be answered with the default, which is the cloud: data must stay"
  }

  assert {
    condition = {
      for r in aws_route53_record.domestic : r.failover_routing_policy[0].type => join(" ", concat([r.name, r.type], tolist(r.records)))
      } == {
      PRIMARY   = "domestic.llm.example.com CNAME local.llm.example.com"
      SECONDARY = "domestic.llm.example.com CNAME standby.llm.example.com"
    }
    error_message = "the local track, then its standby, and nothing else"
  }

  assert {
    condition = { for r in aws_route53_record.address : join(",", r.records) => "${r.name} ${r.type} ${r.multivalue_answer_routing_policy}" } == {
      "203.0.113.10"  = "local.llm.example.com A true"
      "203.0.113.11"  = "local.llm.example.com A true"
      "198.51.100.10" = "standby.llm.example.com A true"
    }
    error_message = "a record for each address, so that a dead one leaves alone"
  }

  assert {
    condition = { for r in aws_route53_record.overseas : r.failover_routing_policy[0].type => join(",", r.records) } == {
      PRIMARY   = "nodes.llm.example.com"
      SECONDARY = "domestic.llm.example.com"
    }
    error_message = "the nodes, then the local track"
  }

  assert {
    condition     = output.nodes == "nodes.llm.example.com"
    error_message = "the name that nodes write"
  }

  assert {
    condition     = !contains([for r in concat(values(aws_route53_record.address), values(aws_route53_record.domestic), values(aws_route53_record.overseas), values(aws_route53_record.api)) : r.name], output.nodes)
    error_message = "a record of ours would be in their way"
  }

  assert {
    condition     = aws_route53_zone.this.force_destroy
    error_message = "records that are not in the state must not stop a destroy"
  }
}

run "every_address_is_checked" {
  command = plan

  variables {
    check = { protocol = "HTTP", port = 8080, path = "/ready", interval_s = 10, failures = 2 }
  }

  assert {
    condition = { for c in aws_route53_health_check.address : c.ip_address => [c.type, c.port, c.resource_path, c.request_interval, c.failure_threshold, c.fqdn] } == {
      for a in ["203.0.113.10", "203.0.113.11", "198.51.100.10"] : a => ["HTTP", 8080, "/ready", 10, 2, "api.llm.example.com"]
    }
    error_message = "each address on its own, as a user would ask it"
  }

  assert {
    condition     = aws_route53_health_check.domestic["this"].type == "CALCULATED" && aws_route53_health_check.domestic["this"].child_health_threshold == 1
    error_message = "the local track is well while one of its addresses is"
  }

  assert {
    condition     = aws_route53_health_check.overseas.fqdn == "nodes.llm.example.com" && aws_route53_health_check.overseas.port == 8080
    error_message = "the cloud is well while its nodes' name answers"
  }
}

run "overseas_does_not_fall_back_where_it_must_not" {
  command = plan

  variables {
    fall_back = false
  }

  assert {
    condition     = keys(aws_route53_record.overseas) == ["PRIMARY"]
    error_message = "no fall-back unless it is allowed"
  }
}

run "without_a_local_track_all_go_to_the_cloud" {
  command = plan

  variables {
    domestic = {}
  }

  assert {
    condition     = { for r in aws_route53_record.api : r.geolocation_routing_policy[0].country => join(",", r.records) } == { "*" = "overseas.llm.example.com" }
    error_message = "everyone to the cloud"
  }

  assert {
    condition     = keys(aws_route53_record.overseas) == ["PRIMARY"] && length(aws_route53_record.domestic) == 0 && length(aws_route53_record.address) == 0 && length(aws_route53_health_check.domestic) == 0
    error_message = "nothing points to a local track that is not there"
  }
}

run "several_countries" {
  command = plan

  variables {
    domestic = { addresses = ["203.0.113.10"], countries = ["CN", "HK"] }
  }

  assert {
    condition     = [for country, r in aws_route53_record.api : country if r.records == toset(["domestic.llm.example.com"])] == ["CN", "HK"]
    error_message = "each country that was written"
  }

  assert {
    condition     = keys(aws_route53_record.domestic) == ["PRIMARY"]
    error_message = "no standby unless there is one"
  }
}

run "private_address" {
  command = plan

  variables {
    domestic = { addresses = ["172.31.0.4"] }
  }

  expect_failures = [var.domestic]
}

run "bad_address" {
  command = plan

  variables {
    domestic = { addresses = ["203.0.113.256"] }
  }

  expect_failures = [var.domestic]
}

run "standby_is_the_same_host" {
  command = plan

  variables {
    domestic = { addresses = ["203.0.113.10"], standby = ["203.0.113.10"] }
  }

  expect_failures = [var.domestic]
}

run "standby_alone" {
  command = plan

  variables {
    domestic = { standby = ["203.0.113.10"] }
  }

  expect_failures = [var.domestic]
}

run "bad_country" {
  command = plan

  variables {
    domestic = { addresses = ["203.0.113.10"], countries = ["China"] }
  }

  expect_failures = [var.domestic]
}

run "bad_zone_and_interval" {
  command = plan

  variables {
    zone  = "LLM.example.com."
    check = { interval_s = 20 }
  }

  expect_failures = [var.zone, var.check]
}

run "bad_path" {
  command = plan

  variables {
    check = { path = "healthz" }
  }

  expect_failures = [var.check]
}
