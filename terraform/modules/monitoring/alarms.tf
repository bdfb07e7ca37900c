# A pool that does not get what it asks for: no capacity, no quota, or instances that die as fast as they come. The
# groups report both numbers once a minute (module gpu_pool switches that on; AWS does not charge for it).
resource "aws_cloudwatch_metric_alarm" "missing" {
  for_each = var.groups

  alarm_name        = "${var.deployment}-${each.key}-missing"
  alarm_description = "Pool ${each.key} has had fewer instances than it asks for, for ${var.missing_minutes} minutes."

  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = var.missing_minutes
  datapoints_to_alarm = var.missing_minutes
  # A group that reports nothing is not known to be well, nor to be ill: the alarm says INSUFFICIENT_DATA.
  treat_missing_data = "missing"

  alarm_actions = [aws_sns_topic.this.arn]
  ok_actions    = [aws_sns_topic.this.arn]

  metric_query {
    id          = "missing"
    expression  = "desired - running"
    label       = "Instances missing"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { desired = "GroupDesiredCapacity", running = "GroupInServiceInstances" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/AutoScaling"
        metric_name = metric_query.value
        period      = 60
        stat        = "Average"
        dimensions  = { AutoScalingGroupName = each.value }
      }
    }
  }

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "health_check" {
  for_each = var.health_checks

  alarm_name        = "${var.deployment}-${each.key}-unhealthy"
  alarm_description = "Route53 finds ${each.key} unhealthy: its traffic goes elsewhere, where there is an elsewhere."

  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = each.value }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 1 # the check itself has its threshold
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  # A check that is gone, or whose checkers are cut off, must not look like a healthy one.
  treat_missing_data = "breaching"

  alarm_actions = [aws_sns_topic.this.arn]
  ok_actions    = [aws_sns_topic.this.arn]

  tags = var.tags
}
