variable "deployment" {
  description = "Name of the deployment; health checks are named after it."
  type        = string
}

variable "zone" {
  description = "Name of the zone that the module makes, such as \"llm.example.com\"; whoever owns the name above it delegates it."
  type        = string

  validation {
    condition     = length(var.zone) <= 200 && can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", var.zone))
    error_message = "traffic.zone: \"${var.zone}\" cannot name a zone; write lower-case letters, digits and hyphens between dots and no dot at the end, such as \"llm.example.com\"."
  }
}

variable "domestic" {
  description = <<-EOT
    The local track. addresses: public IPv4 addresses where it answers; none: there is no local track, and everyone goes
    to the cloud. standby: those of its standby, asked when none of addresses is healthy. countries: from where requests
    go there (ISO 3166 codes of two letters).
  EOT
  type = object({
    addresses = optional(list(string), [])
    standby   = optional(list(string), [])
    countries = optional(list(string), ["CN"])
  })
  default = {}

  validation {
    condition     = alltrue([for a in concat(var.domestic.addresses, var.domestic.standby) : try(cidrhost("${a}/32", 0) == a, false)])
    error_message = "traffic.domestic: addresses and standby are IPv4 addresses, such as \"203.0.113.10\"; got ${join(", ", concat(var.domestic.addresses, var.domestic.standby))}."
  }

  validation {
    condition = !anytrue([
      for a in concat(var.domestic.addresses, var.domestic.standby) :
      can(regex("^((0|10|127|22[4-9]|2[345][0-9])\\.|169\\.254\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.)", a))
    ])
    error_message = "traffic.domestic: Route53 checks public addresses only, and users come from outside; write those that the local track is reached at, not private ones; got ${join(", ", concat(var.domestic.addresses, var.domestic.standby))}."
  }

  validation {
    condition     = length(distinct(concat(var.domestic.addresses, var.domestic.standby))) == length(concat(var.domestic.addresses, var.domestic.standby))
    error_message = "traffic.domestic: an address is written twice; a standby that is the same host stands by for nothing. Got ${join(", ", concat(var.domestic.addresses, var.domestic.standby))}."
  }

  validation {
    condition     = length(var.domestic.addresses) > 0 || length(var.domestic.standby) == 0
    error_message = "traffic.domestic: a standby needs something to stand by for; write addresses, too."
  }

  validation {
    condition = (
      length(var.domestic.countries) > 0 && alltrue([for c in var.domestic.countries : can(regex("^[A-Z]{2}$", c))]) &&
      length(distinct(var.domestic.countries)) == length(var.domestic.countries)
    )
    error_message = "traffic.domestic.countries: write at least one country by its two capital letters, each once, such as [\"CN\"]; got [${join(", ", var.domestic.countries)}]."
  }
}

variable "fall_back" {
  description = "Whether overseas users are sent to the local track while no node of the cloud is healthy (where there is a local track)."
  type        = bool
  default     = true
}

variable "check" {
  description = <<-EOT
    How Route53 asks whether a side is well: protocol ("HTTPS" or "HTTP"), port, path, every how many seconds
    (interval_s: 30, or 10 at a higher price), and after how many answers of one kind it believes them (failures).
  EOT
  type = object({
    protocol   = optional(string, "HTTPS")
    port       = optional(number, 443)
    path       = optional(string, "/healthz")
    interval_s = optional(number, 30)
    failures   = optional(number, 3)
  })
  default = {}

  validation {
    condition     = contains(["HTTPS", "HTTP"], var.check.protocol)
    error_message = "traffic.check.protocol: \"${var.check.protocol}\" is not known; write \"HTTPS\" or \"HTTP\"."
  }

  validation {
    condition     = var.check.port >= 1 && var.check.port <= 65535 && floor(var.check.port) == var.check.port
    error_message = "traffic.check.port: write a port from 1 to 65535; got ${var.check.port}."
  }

  validation {
    condition     = can(regex("^/[!-~]{0,254}$", var.check.path))
    error_message = "traffic.check.path: \"${var.check.path}\" is not a path; write one that starts with /, such as \"/healthz\"."
  }

  validation {
    condition     = contains([10, 30], var.check.interval_s)
    error_message = "traffic.check.interval_s: Route53 asks every 10 or every 30 seconds; got ${var.check.interval_s}."
  }

  validation {
    condition     = var.check.failures >= 1 && var.check.failures <= 10 && floor(var.check.failures) == var.check.failures
    error_message = "traffic.check.failures: write a whole number from 1 to 10; got ${var.check.failures}."
  }
}

variable "tags" {
  description = "Tags for the zone and the health checks."
  type        = map(string)
  default     = {}
}
