output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "IPv4 range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "subnets" {
  description = "The subnets: zone => { id, cidr }."
  value       = { for zone, subnet in aws_subnet.this : zone => { id = subnet.id, cidr = subnet.cidr_block } }
}

output "node_security_group_id" {
  description = "Security group for every node of every pool."
  value       = aws_security_group.nodes.id
}

output "engine_security_group_ids" {
  description = "Security groups, beside that one, of hosts that answer as models: one, or none where nobody may ask them."
  value       = aws_security_group.engines[*].id
}
