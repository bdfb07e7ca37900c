variable "name" {
  description = "Prefix of every name this module makes."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name: write 2 to 24 lower-case letters, digits and hyphens that start with a letter, such as \"dualtrack\"; it becomes part of bucket names."
  }
}

variable "region" {
  description = "Region of the VPC: the S3 gateway endpoint is named after it."
  type        = string
}

variable "network" {
  description = <<-EOT
    The VPC: its IPv4 range (/16 to /24), and one subnet per availability zone (zone => range within it).
    public: instances get public addresses and a route to the internet. Without it they are reached through the
    operator's own VPN or peering, and have no way out but S3.
  EOT
  type = object({
    cidr    = string
    subnets = map(string)
    public  = optional(bool, true)
  })

  validation {
    condition     = can(cidrnetmask(var.network.cidr)) && try(tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 24, false)
    error_message = "network.cidr: ${var.network.cidr} is not an IPv4 range from /16 to /24; write one like \"10.20.0.0/16\"."
  }

  validation {
    condition     = length(var.network.subnets) > 0
    error_message = "network.subnets is empty: write at least one zone and its range, such as { \"us-east-1a\" = \"10.20.0.0/20\" }."
  }

  validation {
    condition     = alltrue([for cidr in values(var.network.subnets) : can(cidrnetmask(cidr))])
    error_message = "network.subnets: not an IPv4 range: ${join(", ", [for zone, cidr in var.network.subnets : "${zone} = ${cidr}" if !can(cidrnetmask(cidr))])}; write ranges like \"10.20.16.0/20\"."
  }
}

variable "operator_cidrs" {
  description = "IPv4 ranges that operators come from: the only ones that may open ssh to the nodes; none wider than /8."
  type        = list(string)

  validation {
    condition     = length(var.operator_cidrs) > 0 && alltrue([for cidr in var.operator_cidrs : can(cidrnetmask(cidr))])
    error_message = "operator_cidrs: write at least one IPv4 range, such as [\"203.0.113.7/32\"]."
  }

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "operator_cidrs: a range shorter than /8 opens ssh to most of the internet; write your office's or VPN's range."
  }
}

variable "engines" {
  description = "Who may reach the engines of hosts that answer as models: the ranges that gateways come from, and the engines' ports. Nobody when left out."
  type = object({
    cidrs = list(string)
    ports = object({ from = number, to = number })
  })
  default = null

  validation {
    condition     = alltrue([for cidr in try(var.engines.cidrs, []) : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "serving.gateway_cidrs: write IPv4 ranges of /8 or longer that your gateways come from, such as [\"203.0.113.20/32\"]."
  }

  validation {
    condition     = var.engines == null || try(var.engines.ports.from >= 1024 && var.engines.ports.from <= var.engines.ports.to && var.engines.ports.to <= 65535, false)
    error_message = "serving.ports: write { from, to } with 1024 <= from <= to <= 65535, as the models' ports are."
  }
}

variable "tags" {
  description = "Tags for everything in this module."
  type        = map(string)
  default     = {}
}
