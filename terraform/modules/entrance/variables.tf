variable "name" {
  description = "Name of the deployment, and prefix of everything in it."
  type        = string

  validation {
    condition     = length(var.name) <= 23
    error_message = "name: \"${var.name}\" is longer than 23 characters, which a load balancer and its groups cannot be called after."
  }
}

variable "network" {
  description = "The network's VPC, its IPv4 range, and its subnets: zone => { id }."
  type = object({
    vpc_id  = string
    cidr    = string
    subnets = map(object({ id = string }))
  })
}

variable "public" {
  description = "Whether clients come from the internet; else from within the VPC and what is connected to it."
  type        = bool
}

variable "client_cidrs" {
  description = "IPv4 ranges that clients come from."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(cidrnetmask(cidr))])
    error_message = "network.client_cidrs: write at least one IPv4 range, such as \"203.0.113.0/24\"; got [${join(", ", var.client_cidrs)}]."
  }
}

variable "tags" {
  description = "Tags of everything that can carry some."
  type        = map(string)
}
