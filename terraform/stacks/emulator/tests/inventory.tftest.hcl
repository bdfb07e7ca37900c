# Applies the stack to a running emulator and takes it down again. Address, credentials and key come from outside:
#   export AWS_SHARED_CREDENTIALS_FILE=.lab/run/aws-credentials TF_VAR_aws_endpoint=http://127.0.0.1:5000
#   TF_VAR_ssh_public_key="$(cat id_ed25519.pub)" tofu test

run "inventory_holds_the_contract" {
  command = apply

  variables {
    name = "contract"
  }

  # The same shape as terraform/inventory.schema.json, held from this side, too.
  assert {
    condition = (
      keys(output.inventory) == ["connection", "network", "pools", "region", "schema", "stack", "storage"] &&
      output.inventory.schema == 1 && output.inventory.stack == "emulator"
    )
    error_message = "the contract's own keys changed: give it a new schema number"
  }

  assert {
    condition = alltrue([
      for pool in values(output.inventory.pools) : keys(pool) == [
        "autoscaling_group", "desired", "gpus", "instance_types", "lifecycle", "max", "min", "roles", "ssh_user", "zones"
      ]
    ])
    error_message = "a pool's keys changed: give the contract a new schema number"
  }

  assert {
    condition = (
      keys(output.inventory.network) == ["cidr", "subnets", "vpc_id"] &&
      alltrue([for subnet in values(output.inventory.network.subnets) : keys(subnet) == ["cidr", "id"]]) &&
      alltrue([for bucket in values(output.inventory.storage) : keys(bucket) == ["arn", "bucket"]])
    )
    error_message = "the network's or the storage's keys changed: give the contract a new schema number"
  }

  assert {
    condition     = { for name, pool in output.inventory.pools : name => pool.gpus } == { spot = 8, ondemand = 8, control = 0, serving = 0 }
    error_message = "p4de.24xlarge has eight GPUs, a controller none, nor the lab's hosts that serve"
  }

  assert {
    condition     = output.alarm_topic == "arn:aws:sns:us-east-1:123456789012:contract-watch" && output.traffic_name_servers == []
    error_message = "alarms have a topic, and there is nothing to delegate"
  }
}

run "hosts_that_serve_are_a_pool_of_their_own" {
  command = plan

  variables {
    name    = "contract"
    pools   = { serving = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1 } }
    serving = { instance_types = ["m6i.large"] }
  }

  expect_failures = [output.inventory]
}

run "traffic_is_in_the_contract_where_it_is_on" {
  command = plan

  variables {
    name    = "contract"
    traffic = { zone = "dualtrack.test" }
  }

  assert {
    condition = (
      keys(output.inventory) == ["connection", "network", "pools", "region", "schema", "stack", "storage", "traffic"] &&
      keys(output.inventory.traffic) == ["name", "zone_id"] && output.inventory.traffic.name == "nodes.dualtrack.test"
    )
    error_message = "the contract's keys changed: give it a new schema number"
  }
}

run "traffic_needs_somebody_who_keeps_its_records" {
  command = plan

  variables {
    name    = "contract"
    traffic = { zone = "dualtrack.test" }
    pools   = { spot = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1 } }
  }

  expect_failures = [output.inventory]
}
