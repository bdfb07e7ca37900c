output "zone_id" {
  description = "Id of the zone."
  value       = aws_route53_zone.this.zone_id
}

output "zone_arn" {
  description = "ARN of the zone, for what may be done in it. Provider 3.39 does not give it."
  value       = "arn:${data.aws_partition.current.partition}:route53:::hostedzone/${aws_route53_zone.this.zone_id}"
}

output "name_servers" {
  description = "What the operator of the name above writes in the zone's NS record, so that the world finds it."
  value       = aws_route53_zone.this.name_servers
}

output "nodes" {
  description = "The name whose records lead to the nodes; the controllers keep them."
  value       = local.name.nodes
}

output "health_checks" {
  description = "Health checks by what they stand for: overseas, and domestic where there is a local track."
  value = merge(
    { overseas = aws_route53_health_check.overseas.id },
    { for check in values(aws_route53_health_check.domestic) : "domestic" => check.id },
  )
}
