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
  deployment         = "test"
  name               = "spot"
  subnets            = { "us-east-1a" = { id = "subnet-1" }, "us-east-1b" = { id = "subnet-2" } }
  security_group_ids = ["sg-1"]
  image              = { id = "ami-0123456789abcdef0" }
  key_name           = "test"
  utc_offset         = "+08:00"
  buckets            = { read = ["arn:aws:s3:::weights"], write = ["arn:aws:s3:::checkpoints"] }
  pool = {
    lifecycle      = "spot"
    roles          = ["gpu", "slurm"]
    instance_types = ["p4de.24xlarge", "p4d.24xlarge"]
    min            = 0
    desired        = 2
    max            = 8
    on_demand_base = 1
    schedules = {
      night   = { at = "22:00", desired = 4 }
      day     = { at = "07:30", desired = 2 }
      weekend = { at = "06:00", days = ["sat", "sun"], desired = 8 }
    }
  }
}

run "what_is_made_by_default" {
  command = plan

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 must be required"
  }

  assert {
    condition = (
      tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted) &&
      aws_launch_template.this.block_device_mappings[0].ebs[0].volume_type == "gp3"
    )
    error_message = "disks are gp3 and encrypted"
  }

  assert {
    condition = (
      aws_autoscaling_group.this.mixed_instances_policy[0].instances_distribution[0].on_demand_base_capacity == 1 &&
      aws_autoscaling_group.this.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0 &&
      aws_autoscaling_group.this.capacity_rebalance
    )
    error_message = "above its base, a spot pool buys spot only, and replaces before it is reclaimed"
  }

  assert {
    condition     = join(" ", aws_autoscaling_group.this.mixed_instances_policy[0].launch_template[0].override[*].instance_type) == "p4de.24xlarge p4d.24xlarge"
    error_message = "every instance type, in the order of preference"
  }

  assert {
    condition = { for tag in aws_autoscaling_group.this.tag : tag.key => tag.value if tag.propagate_at_launch } == {
      Name                   = "test-spot"
      "dualtrack:deployment" = "test"
      "dualtrack:track"      = "cloud"
      "dualtrack:pool"       = "spot"
      "dualtrack:lifecycle"  = "spot"
      "dualtrack:roles"      = "gpu+slurm"
      "dualtrack:gpus"       = "8"
    }
    error_message = "instances carry the tags that the inventory reads"
  }

  assert {
    condition     = base64decode(aws_launch_template.this.user_data) == "#cloud-config\n{\"write_files\":[{\"content\":\"{\\\"deployment\\\":\\\"test\\\",\\\"gpus\\\":8,\\\"lifecycle\\\":\\\"spot\\\",\\\"pool\\\":\\\"spot\\\",\\\"roles\\\":[\\\"gpu\\\",\\\"slurm\\\"]}\\n\",\"owner\":\"root:root\",\"path\":\"/etc/dualtrack/pool.json\",\"permissions\":\"0644\"}]}\n"
    error_message = "the user data changed: is that meant? It makes a new version of every launch template."
  }

  assert {
    condition = output.recurrences == {
      night   = "0 14 * * *"
      day     = "30 23 * * *"
      weekend = "0 22 * * 5,6" # Saturday 06:00 there is Friday 22:00 UTC
    }
    error_message = "schedules must fire at the operator's hour and day"
  }

  assert {
    condition = [
      for s in jsondecode(aws_iam_role_policy.buckets["this"].policy).Statement : s.Resource if s.Sid == "Write"
    ] == [["arn:aws:s3:::checkpoints/*"]]
    error_message = "nodes write checkpoints, and nothing else"
  }

  assert {
    condition     = !can(regex("Delete|\"s3:\\*\"|\"\\*\"", aws_iam_role_policy.buckets["this"].policy))
    error_message = "nodes delete nothing, and nothing is granted by a star"
  }

  assert {
    condition = alltrue([
      for s in jsondecode(aws_iam_role_policy.buckets["this"].policy).Statement : s.Condition == {
        StringEquals = {
          "aws:SourceVpc"   = "$${aws:Ec2InstanceSourceVpc}"
          "aws:VpcSourceIp" = "$${aws:Ec2InstanceSourcePrivateIPv4}"
        }
      }
    ])
    error_message = "S3 answers from the instance that the keys were issued for, and from nowhere else"
  }

  assert {
    condition     = length(aws_iam_role_policy.traffic) == 0
    error_message = "without traffic, nodes have nothing to do in Route53"
  }

  assert {
    condition     = aws_autoscaling_group.this.enabled_metrics == toset(["GroupDesiredCapacity", "GroupInServiceInstances"])
    error_message = "module monitoring would wait for metrics that never come"
  }
}

run "on_demand_buys_no_spot" {
  command = plan

  variables {
    pool = { lifecycle = "on-demand", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2 }
  }

  assert {
    condition = (
      aws_autoscaling_group.this.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100 &&
      !aws_autoscaling_group.this.capacity_rebalance
    )
    error_message = "an on-demand pool is on demand throughout"
  }
}

# The bytes themselves: a user data that differs by a blank is a new version of the template.
run "new_york_in_utc" {
  command = plan

  variables {
    utc_offset = "-05:00"
  }

  assert {
    condition = output.recurrences == {
      night   = "0 3 * * *"
      day     = "30 12 * * *"
      weekend = "0 11 * * 0,6"
    }
    error_message = "schedules must fire at the operator's hour and day"
  }
}

run "kathmandu_in_utc" {
  command = plan

  variables {
    utc_offset = "+05:45"
  }

  assert {
    condition     = output.recurrences["night"] == "15 16 * * *" && output.recurrences["weekend"] == "15 0 * * 0,6"
    error_message = "offsets of quarter hours count, too"
  }
}

run "late_evening_in_the_west_is_the_next_day" {
  command = plan

  variables {
    utc_offset = "-08:00"
    pool = {
      lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2
      schedules = { off = { at = "20:00", days = ["sat"], desired = 0 } }
    }
  }

  assert {
    condition     = output.recurrences["off"] == "0 4 * * 0"
    error_message = "Saturday 20:00 there is Sunday 04:00 UTC"
  }
}

run "own_key_is_used_by_s3_alone" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
  }

  assert {
    condition = [
      for s in jsondecode(aws_iam_role_policy.key["this"].policy).Statement : [s.Action, s.Resource, s.Condition]
    ] == [[["kms:Decrypt", "kms:GenerateDataKey"], "arn:aws:kms:us-east-1:111122223333:key/1", { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com*" } }]]
    error_message = "without it S3 refuses every object; more is not needed"
  }
}

run "one_record_and_no_other" {
  command = plan

  variables {
    traffic = { zone_arn = "arn:aws:route53:::hostedzone/Z0123456789ABC", record = "nodes.llm.example.com" }
  }

  assert {
    condition = [
      for s in jsondecode(aws_iam_role_policy.traffic["this"].policy).Statement :
      [s.Effect, s.Action, s.Resource, s.Condition["ForAllValues:StringEquals"]] if s.Sid == "NodesRecords"
      ] == [[
        "Allow", "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0123456789ABC",
        {
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = ["nodes.llm.example.com"]
          "route53:ChangeResourceRecordSetsRecordTypes"           = ["A"]
          "route53:ChangeResourceRecordSetsActions"               = ["UPSERT", "DELETE"]
        }
    ]]
    error_message = "A records of one name in one zone, to write and to delete"
  }

  # Without this, a request that names no record would pass for one whose every record is allowed.
  assert {
    condition = alltrue([
      for s in jsondecode(aws_iam_role_policy.traffic["this"].policy).Statement :
      s.Condition.Null == { for key in keys(s.Condition["ForAllValues:StringEquals"]) : key => "false" } if s.Sid == "NodesRecords"
    ])
    error_message = "every condition key must be there"
  }

  assert {
    condition = toset([for s in jsondecode(aws_iam_role_policy.traffic["this"].policy).Statement : s.Action]) == toset([
      "ec2:DescribeInstances", "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets",
    ])
    error_message = "beside that only reading"
  }
}

run "a_record_as_iam_does_not_write_it" {
  command = plan

  variables {
    traffic = { zone_arn = "arn:aws:route53:::hostedzone/Z0123456789ABC", record = "Nodes.llm.example.com." }
  }

  expect_failures = [var.traffic]
}

run "every_zone_is_no_zone" {
  command = plan

  variables {
    traffic = { zone_arn = "arn:aws:route53:::hostedzone/*", record = "nodes.llm.example.com" }
  }

  expect_failures = [var.traffic]
}

run "unknown_instance_type" {
  command = plan

  variables {
    pool = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.32xlarge"], desired = 1, max = 2 }
  }

  expect_failures = [aws_launch_template.this]
}

run "types_with_different_gpus" {
  command = plan

  variables {
    pool = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge", "g5.xlarge"], desired = 1, max = 2 }
  }

  expect_failures = [aws_launch_template.this]
}

run "unknown_zone" {
  command = plan

  variables {
    pool = {
      lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2
      zones     = ["us-east-1f"]
    }
  }

  expect_failures = [aws_launch_template.this]
}

run "bad_lifecycle" {
  command = plan

  variables {
    pool = { lifecycle = "cheap", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2 }
  }

  expect_failures = [var.pool]
}

run "bad_sizes" {
  command = plan

  variables {
    pool = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 3, max = 2 }
  }

  expect_failures = [var.pool]
}

run "bad_hour" {
  command = plan

  variables {
    pool = {
      lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2
      schedules = { night = { at = "24:00", desired = 1 } }
    }
  }

  expect_failures = [var.pool]
}

run "bad_name_image_and_offset" {
  command = plan

  variables {
    name       = "Spot Pool"
    image      = { id = "debian-12" }
    utc_offset = "CST"
  }

  expect_failures = [var.name, var.image, var.utc_offset]
}

run "a_pool_for_jobs_over_several_nodes" {
  command = plan

  variables {
    pool = {
      lifecycle      = "on-demand"
      roles          = ["gpu"]
      instance_types = ["p5.48xlarge"]
      desired        = 2
      max            = 2
      zones          = ["us-east-1a"]
      disk_mb_s      = 1000
      cluster        = true
      reservation    = "cr-0123456789abcdef0"
    }
  }

  assert {
    condition     = aws_placement_group.this["this"].strategy == "cluster" && aws_launch_template.this.placement[0].group_name == "test-spot"
    error_message = "the instances are not put near each other"
  }

  assert {
    condition     = [for disk in aws_launch_template.this.block_device_mappings[0].ebs : [tonumber(disk.throughput), tonumber(disk.iops)]] == [[1000, 4000]]
    error_message = "the disk must have the operations that its throughput needs"
  }

  assert {
    condition     = aws_launch_template.this.capacity_reservation_specification[0].capacity_reservation_target[0].capacity_reservation_id == "cr-0123456789abcdef0"
    error_message = "the reservation is paid for and not used"
  }
}

run "near_each_other_in_two_zones" {
  command = plan

  variables {
    pool = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1, cluster = true }
  }

  expect_failures = [aws_launch_template.this]
}

run "a_reservation_for_spot" {
  command = plan

  variables {
    pool = {
      lifecycle   = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1
      reservation = "cr-0123456789abcdef0"
    }
  }

  expect_failures = [var.pool]
}

run "a_reservation_that_is_none" {
  command = plan

  variables {
    pool = { lifecycle = "on-demand", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1, reservation = "mine" }
  }

  expect_failures = [var.pool]
}

run "a_disk_that_is_faster_than_there_are" {
  command = plan

  variables {
    pool = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 1, disk_mb_s = 2000 }
  }

  expect_failures = [var.pool]
}
