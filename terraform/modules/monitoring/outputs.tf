output "topic_arn" {
  description = "The topic that alarms and the budget write to."
  value       = aws_sns_topic.this.arn
}
