# The whole account's spending: a budget for one tag is written cost_filters in provider 3.39 and cost_filter in 6.62,
# and each knows only its own.
resource "aws_budgets_budget" "monthly" {
  for_each = var.budget_usd == null ? {} : { this = var.budget_usd }

  name         = "${var.deployment}-monthly"
  budget_type  = "COST"
  limit_amount = format("%.1f", each.value) # as AWS reads it back
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  # Required by provider 3.39, and fixed, so that no day of a plan makes a new budget.
  time_period_start = "2026-01-01_00:00"

  dynamic "notification" {
    # Spent is a fact, forecast a warning: the first is told early, the second only when it comes to the limit.
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      comparison_operator       = "GREATER_THAN"
      subscriber_sns_topic_arns = [aws_sns_topic.this.arn]
    }
  }

  # AWS tries the topic when the notification is made.
  depends_on = [aws_sns_topic_policy.this]
}
