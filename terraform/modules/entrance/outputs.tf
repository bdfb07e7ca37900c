output "name" {
  description = "The name that clients ask, until a DNS record of yours points to it."
  value       = aws_lb.this.dns_name
}

output "target_group_arn" {
  description = "Where gateways are registered: by their scaling group."
  value       = aws_lb_target_group.gateways.arn
}

output "security_group_id" {
  description = "The security group of gateways, beside that of all nodes."
  value       = aws_security_group.clients.id
}
