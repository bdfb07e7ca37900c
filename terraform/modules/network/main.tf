# The VPC that all pools of a deployment share: one subnet a zone, S3 without leaving the provider's network, and the two
# rules of who may talk to a node.

locals {
  zones  = sort(keys(var.network.subnets))
  length = split("/", var.network.cidr)[1]

  # A subnet lies inside the VPC when it is not larger and its first address, cut to the VPC's length, is the VPC's own.
  outside = [
    for zone, cidr in var.network.subnets : "${zone} = ${cidr}"
    if !(
      tonumber(split("/", cidr)[1]) >= tonumber(local.length) &&
      cidrhost("${split("/", cidr)[0]}/${local.length}", 0) == cidrhost(var.network.cidr, 0)
    )
  ]

  # Two ranges overlap when, at the shorter of their two lengths, they are the same network.
  overlaps = flatten([
    for i, a in local.zones : [
      for b in slice(local.zones, i + 1, length(local.zones)) :
      "${a} = ${var.network.subnets[a]} and ${b} = ${var.network.subnets[b]}"
      if length(distinct([
        for zone in [a, b] : cidrhost(format(
          "%s/%d", split("/", var.network.subnets[zone])[0],
          min([for z in [a, b] : tonumber(split("/", var.network.subnets[z])[1])]...)
        ), 0)
      ])) == 1
    ]
  ])
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:flow logs are billed by the gigabyte and belong to the account's own logging, not to a deployment
  cidr_block           = var.network.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = merge(var.tags, { Name = var.name })

  lifecycle {
    precondition {
      condition     = length(local.outside) == 0
      error_message = "network.subnets: ${join(", ", local.outside)} lies outside the VPC's ${var.network.cidr}; write ranges inside it, or a wider network.cidr."
    }

    precondition {
      condition     = length(local.overlaps) == 0
      error_message = "network.subnets overlap: ${join("; ", local.overlaps)}; give every zone a range of its own."
    }
  }
}

# A VPC is born with a security group that lets everything through inside it. Nothing uses it: it is emptied, so that a
# forgotten argument cannot fall back to it.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = merge(var.tags, { Name = "${var.name}-default-unused" })
}

resource "aws_subnet" "this" {
  for_each = var.network.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = var.network.public

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_internet_gateway" "this" {
  for_each = var.network.public ? { this = true } : {}

  vpc_id = aws_vpc.this.id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_route" "internet" {
  for_each = aws_internet_gateway.this

  route_table_id         = aws_route_table.this.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = each.value.id
}

resource "aws_route_table_association" "this" {
  for_each = aws_subnet.this

  subnet_id      = each.value.id
  route_table_id = aws_route_table.this.id
}

# Checkpoints of 140 GB must not be billed as internet traffic: a gateway endpoint is free.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.this.id]

  tags = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "nodes" {
  # checkov:skip=CKV_AWS_24:operator_cidrs has no default and refuses what is wider than /8; a value it cannot see counts as open
  # checkov:skip=CKV2_AWS_5:the launch templates of module gpu_pool use it; checkov does not follow it there
  name        = "${var.name}-nodes"
  description = "GPU nodes: ssh from the operators, everything among themselves"
  vpc_id      = aws_vpc.this.id

  ingress {
    description = "ssh from the operators"
    protocol    = "tcp"
    from_port   = 22
    to_port     = 22
    cidr_blocks = var.operator_cidrs
  }

  ingress {
    # NCCL and Slurm choose ports freely, so the nodes' own group is the boundary.
    description = "between nodes"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    self        = true
  }

  egress {
    # checkov:skip=CKV_AWS_382:nodes fetch packages and images from many hosts; restricting egress belongs to the operator's firewall
    description = "packages, S3 and the other track"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }

  tags = merge(var.tags, { Name = "${var.name}-nodes" })
}

# From the networks of gateways outside of the VPC to the engines' ports, and to nothing else. Which host there is a gateway
# the engines ask by mutual TLS.
resource "aws_security_group" "engines" {
  # checkov:skip=CKV2_AWS_5:the launch templates of module gpu_pool use it; checkov does not follow it there
  count = length(try(var.engines.cidrs, [])) > 0 ? 1 : 0

  name        = "${var.name}-engines"
  description = "Hosts that answer as models: their engines for gateways"
  vpc_id      = aws_vpc.this.id

  ingress {
    description = "engines for gateways"
    protocol    = "tcp"
    from_port   = var.engines.ports.from
    to_port     = var.engines.ports.to
    cidr_blocks = var.engines.cidrs
  }

  tags = merge(var.tags, { Name = "${var.name}-engines" })
}
