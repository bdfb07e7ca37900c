output "buckets" {
  description = "The buckets: class => { bucket, arn }."
  value       = { for class, bucket in aws_s3_bucket.this : class => { bucket = bucket.id, arn = bucket.arn } }
}
