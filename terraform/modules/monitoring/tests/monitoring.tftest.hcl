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
  account_id = "111122223333"
  groups     = { spot = "test-spot", ondemand = "test-ondemand" }
}

run "what_is_made_by_default" {
  command = plan

  assert {
    condition = {
      for pool, alarm in aws_cloudwatch_metric_alarm.missing : pool => join(",", distinct(flatten([
        for query in alarm.metric_query : [for metric in query.metric : metric.dimensions["AutoScalingGroupName"]]
      ])))
    } == { spot = "test-spot", ondemand = "test-ondemand" }
    error_message = "each pool's alarm reads its own group"
  }

  assert {
    condition = {
      for query in aws_cloudwatch_metric_alarm.missing["spot"].metric_query :
      query.id => try(query.metric[0].metric_name, query.expression)
      } == {
      missing = "desired - running"
      desired = "GroupDesiredCapacity"
      running = "GroupInServiceInstances"
    }
    error_message = "what is missing is what is asked for less what is in service"
  }

  assert {
    condition = (
      [for query in aws_cloudwatch_metric_alarm.missing["spot"].metric_query : query.id if try(query.return_data, false) == true] == ["missing"] &&
      aws_cloudwatch_metric_alarm.missing["spot"].comparison_operator == "GreaterThanThreshold" &&
      aws_cloudwatch_metric_alarm.missing["spot"].threshold == 0
    )
    error_message = "the alarm looks at the difference, and one missing instance is enough"
  }

  # AWS's own key for SNS would keep alarms and budgets out.
  assert {
    condition = join(" ", sort([
      for s in jsondecode(aws_kms_key.topic.policy).Statement : s.Principal.Service
      if can(s.Principal.Service) && can(index(s.Action, "kms:GenerateDataKey*")) && can(index(s.Action, "kms:Decrypt"))
    ])) == "budgets.amazonaws.com cloudwatch.amazonaws.com"
    error_message = "alarms and budgets must be able to use the topic's key"
  }

  assert {
    condition = alltrue([
      for s in jsondecode(aws_kms_key.topic.policy).Statement : s.Condition.StringEquals["aws:SourceAccount"] == "111122223333"
      if can(s.Principal.Service)
    ])
    error_message = "and only for this account"
  }

  assert {
    condition     = aws_kms_key.topic.enable_key_rotation
    error_message = "the key is rotated"
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 0 && length(aws_budgets_budget.monthly) == 0
    error_message = "no subscriber and no budget unless they were written"
  }
}

run "not_before_its_minutes" {
  command = plan

  variables {
    missing_minutes = 45
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.missing : alarm.evaluation_periods == 45 && alarm.datapoints_to_alarm == 45 &&
      alltrue(flatten([for query in alarm.metric_query : [for metric in query.metric : metric.period == 60]]))
    ])
    error_message = "every one of the minutes counts"
  }
}

run "health_checks_are_watched" {
  command = plan

  variables {
    health_checks = { overseas = "check-1", domestic = "check-2" }
  }

  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.health_check : name => alarm.dimensions["HealthCheckId"]
    } == { overseas = "check-1", domestic = "check-2" }
    error_message = "an alarm for each health check"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.health_check : alarm.treat_missing_data == "breaching"])
    error_message = "a check that says nothing is not a healthy one"
  }
}

run "subscribers_and_budget" {
  command = plan

  variables {
    emails     = ["ops@example.com", "money@example.com"]
    budget_usd = 12000
  }

  assert {
    condition     = { for s in aws_sns_topic_subscription.email : s.endpoint => s.protocol } == { "ops@example.com" = "email", "money@example.com" = "email" }
    error_message = "each address gets a subscription"
  }

  assert {
    condition = (
      tonumber(aws_budgets_budget.monthly["this"].limit_amount) == 12000 &&
      "${aws_budgets_budget.monthly["this"].limit_unit} ${aws_budgets_budget.monthly["this"].time_unit}" == "USD MONTHLY"
    )
    error_message = "the limit is US$ a month"
  }

  assert {
    condition = {
      for n in aws_budgets_budget.monthly["this"].notification : n.notification_type => "${n.comparison_operator} ${n.threshold} ${n.threshold_type}"
    } == { ACTUAL = "GREATER_THAN 80 PERCENTAGE", FORECASTED = "GREATER_THAN 100 PERCENTAGE" }
    error_message = "told at 80 % spent, and when the forecast passes the limit"
  }
}

run "bad_email_minutes_budget_and_account" {
  command = plan

  variables {
    emails          = ["ops at example.com"]
    missing_minutes = 2000
    budget_usd      = -1
    account_id      = "mine"
  }

  expect_failures = [var.emails, var.missing_minutes, var.budget_usd, var.account_id]
}
