data "aws_partition" "current" {}

locals {
  id = "${var.deployment}-watch"

  # Who writes to the topic, and from where. A service could be talked into writing for someone else's account.
  writers = {
    cloudwatch = "arn:${data.aws_partition.current.partition}:cloudwatch:*:${var.account_id}:alarm:*"
    budgets    = "arn:${data.aws_partition.current.partition}:budgets::${var.account_id}:*"
  }
}

# A key of the module's own: AWS's key for SNS lets neither alarms nor budgets in, so they would fail unheard
# (https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns).
resource "aws_kms_key" "topic" {
  description             = "Messages of topic ${local.id}"
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${var.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      }],
      [for service, source in local.writers : {
        Sid       = title(service)
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      }]
    )
  })

  tags = merge(var.tags, { Name = local.id })
}

resource "aws_kms_alias" "topic" {
  name          = "alias/${local.id}"
  target_key_id = aws_kms_key.topic.key_id
}

resource "aws_sns_topic" "this" {
  name              = local.id
  kms_master_key_id = aws_kms_key.topic.arn

  tags = merge(var.tags, { Name = local.id })
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for service, source in local.writers : {
      Sid       = title(service)
      Effect    = "Allow"
      Principal = { Service = "${service}.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = source }
      }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}
