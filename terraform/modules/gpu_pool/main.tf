resource "aws_launch_template" "this" {
  name                   = local.id
  description            = "Nodes of pool ${local.id}"
  update_default_version = true

  image_id               = var.image.id
  instance_type          = var.pool.instance_types[0]
  key_name               = var.key_name
  vpc_security_group_ids = var.security_group_ids
  user_data              = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.node.arn
  }

  # IMDSv2 only: a forged request from a served model must not be able to read the role's keys.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = var.image.root_device

    ebs {
      volume_type = "gp3"
      volume_size = var.pool.disk_gb
      # What gp3 gives without a price is left out. A disk may give a quarter of a MB a second for each of its operations.
      throughput            = var.pool.disk_mb_s > 125 ? var.pool.disk_mb_s : null
      iops                  = var.pool.disk_mb_s > 125 ? max(3000, 4 * var.pool.disk_mb_s) : null
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "placement" {
    for_each = aws_placement_group.this

    content {
      group_name = placement.value.name
    }
  }

  dynamic "capacity_reservation_specification" {
    for_each = var.pool.reservation[*]

    content {
      capacity_reservation_target {
        capacity_reservation_id = capacity_reservation_specification.value
      }
    }
  }

  # Instances get their tags from the group; volumes have no other source. The template itself carries none: it costs
  # nothing, and the emulator reads such tags back as one more of these blocks, which would never settle.
  tag_specifications {
    resource_type = "volume"
    tags          = local.tags
  }

  lifecycle {
    precondition {
      condition     = length(local.unknown_types) == 0
      error_message = "pool ${var.name}: unknown instance type ${join(", ", local.unknown_types)}; write one of ${join(", ", keys(local.known_types))}, or add it with its GPUs to modules/gpu_pool/instance_types.json."
    }

    precondition {
      condition     = length(local.gpu_counts) <= 1
      error_message = "pool ${var.name}: its instance types have different numbers of GPUs (${join(", ", [for type in var.pool.instance_types : "${type}: ${try(local.known_types[type].gpus, "?")}"])}); make a pool of each, so that a job that fits one host fits all."
    }

    precondition {
      condition     = !var.pool.cluster || length(local.zones) == 1
      error_message = "pool ${var.name}: instances near each other are in one zone; write zones = [\"${try(local.zones[0], "us-east-1a")}\"], or leave cluster out."
    }

    precondition {
      condition     = length(local.unknown_zones) == 0
      error_message = "pool ${var.name}: no subnet in zone ${join(", ", local.unknown_zones)}; write zones out of ${join(", ", keys(var.subnets))}, or add the zone to network.subnets."
    }
  }
}

# Traffic between instances of another zone is slow, and billed by the GB.
resource "aws_placement_group" "this" {
  for_each = var.pool.cluster ? { this = true } : {}

  name     = local.id
  strategy = "cluster"
  tags     = local.tags
}

resource "aws_autoscaling_group" "this" {
  name                = local.id
  min_size            = var.pool.min
  max_size            = var.pool.max
  desired_capacity    = var.pool.desired
  vpc_zone_identifier = [for zone in local.zones : try(var.subnets[zone].id, "")]

  # AWS starts the replacement when it expects to take a spot instance back, not after.
  capacity_rebalance = var.pool.lifecycle == "spot"
  health_check_type  = "EC2"
  target_group_arns  = var.target_group_arns
  # A pool without capacity must not fail the apply of everything else: `make status` shows who is missing.
  wait_for_capacity_timeout = "0"
  # Else the group would end healthy nodes of a zone that the watch leaves out for some time (`dualtrack pools watch`).
  suspended_processes = ["AZRebalance"]
  # What module monitoring compares. AWS reports neither unless asked to, and does not charge for them.
  enabled_metrics = ["GroupDesiredCapacity", "GroupInServiceInstances"]

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = var.pool.lifecycle == "spot" ? var.pool.on_demand_base : 0
      on_demand_percentage_above_base_capacity = var.pool.lifecycle == "spot" ? 0 : 100
      on_demand_allocation_strategy            = "prioritized"
      # The deepest pools first: the cheapest are the first to be taken back.
      spot_allocation_strategy = "capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this.id
        version            = tostring(aws_launch_template.this.latest_version)
      }

      dynamic "override" {
        for_each = var.pool.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  dynamic "tag" {
    for_each = local.tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    # The size belongs to the schedules, the autoscaler and the operator once the group stands.
    ignore_changes = [desired_capacity]
  }
}
