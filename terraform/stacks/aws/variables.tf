variable "name" {
  description = "Name of the deployment, and prefix of everything in it."
  type        = string
  default     = "dualtrack"
}

variable "region" {
  description = "AWS region. A100-80G machines are offered in few of them (modules/gpu_pool/README.md)."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: \"${var.region}\" is not a region; write one like \"us-east-1\"."
  }
}

variable "network" {
  description = <<-EOT
    The VPC; see modules/network. ssh reaches instances at their public addresses, or at their private ones where public is
    false, from within the VPC or through a VPN; or through the host jump: "user@host", with ":port" where it is not 22, or
    a name of your ssh configuration. client_cidrs: who may ask the gateways, of pools with the role gateway.
  EOT
  type = object({
    cidr         = string
    subnets      = map(string)
    public       = optional(bool, true)
    jump         = optional(string, "")
    client_cidrs = optional(list(string), ["0.0.0.0/0"])
  })
  default = {
    cidr = "10.20.0.0/16"
    subnets = {
      "us-east-1a" = "10.20.0.0/20"
      "us-east-1b" = "10.20.16.0/20"
      "us-east-1c" = "10.20.32.0/20"
    }
  }

  validation {
    condition     = can(regex("^(([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?)?$", var.network.jump))
    error_message = "network.jump: \"${var.network.jump}\" is not a host; write \"user@host\", \"user@host:port\" or a name of your ssh configuration."
  }
}

variable "operator_cidrs" {
  description = "IPv4 ranges that operators come from: the only ones that may open ssh to the nodes."
  type        = list(string)
}

variable "ssh_public_key" {
  description = "The operator's public key, one line as in id_ed25519.pub."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,3}( .*)?$", trimspace(var.ssh_public_key)))
    error_message = "ssh_public_key: write the one line of a public key file, which starts with \"ssh-ed25519 AAAA…\"; never a private key."
  }
}

variable "image" {
  description = "Machine image of the nodes of pools that name none; see modules/gpu_pool."
  type = object({
    id          = string
    ssh_user    = optional(string, "admin")
    root_device = optional(string, "/dev/xvda")
  })
}

variable "pools" {
  description = "Pools of instances by name; `image` overrides the image of the stack. See modules/gpu_pool."
  type = map(object({
    lifecycle      = string
    instance_types = list(string)
    roles          = list(string)
    min            = optional(number, 0)
    desired        = number
    max            = number
    on_demand_base = optional(number, 0)
    zones          = optional(list(string))
    disk_gb        = optional(number, 200)
    disk_mb_s      = optional(number, 125)
    cluster        = optional(bool, false)
    reservation    = optional(string)
    image = optional(object({
      id          = string
      ssh_user    = optional(string, "admin")
      root_device = optional(string, "/dev/xvda")
    }))
    schedules = optional(map(object({
      at      = string
      days    = optional(list(string), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
      desired = number
    })), {})
  }))
  # No GPU is started before somebody asks for one (`desired` here, or docs/how-to/scale-a-pool.md).
  default = {
    spot = {
      lifecycle      = "spot"
      roles          = ["gpu"]
      instance_types = ["p4de.24xlarge"]
      desired        = 0
      max            = 8
    }
    ondemand = {
      lifecycle      = "on-demand"
      roles          = ["gpu"]
      instance_types = ["p4de.24xlarge"]
      desired        = 0
      max            = 2
    }
    # The scheduler's controller. A second one, which may take over, needs a file system that both mount (role slurm).
    control = {
      lifecycle      = "on-demand"
      roles          = ["controller"]
      instance_types = ["m6i.large"]
      min            = 1
      desired        = 1
      max            = 1
      disk_gb        = 50
    }
  }
}

variable "serving" {
  description = <<-EOT
    The pool "serving", whose hosts answer as models (role serving). Spot instances, of which the first on_demand_base are
    bought on demand: models answer while spot has no capacity. No such pool when left out.
    gateway_cidrs: IPv4 ranges that gateways outside of the VPC come from: the only ones that may reach the engines' ports
    from there. The rest as in pools; see modules/gpu_pool.
  EOT
  type = object({
    instance_types = list(string)
    min            = optional(number, 1)
    desired        = optional(number, 1)
    max            = optional(number, 2)
    on_demand_base = optional(number, 1)
    zones          = optional(list(string))
    disk_gb        = optional(number, 200)
    disk_mb_s      = optional(number, 125)
    image = optional(object({
      id          = string
      ssh_user    = optional(string, "admin")
      root_device = optional(string, "/dev/xvda")
    }))
    gateway_cidrs = optional(list(string), [])
    ports         = optional(object({ from = number, to = number }), { from = 8001, to = 8099 })
  })
  default = null
}

variable "time_zone" {
  description = <<-EOT
    The operator's time zone, which the pools' schedules are written in: its IANA name, and its offset from UTC today.
    Where clocks change in spring and autumn, the offset changes with them: `dualtrack` says when the two disagree.
  EOT
  type = object({
    name       = string
    utc_offset = string
  })
  default = {
    name       = "Asia/Shanghai"
    utc_offset = "+08:00"
  }

  validation {
    condition     = can(regex("^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", var.time_zone.name))
    error_message = "time_zone.name: \"${var.time_zone.name}\" is not a zone; write its IANA name, such as \"Asia/Shanghai\"."
  }
}

variable "storage" {
  description = <<-EOT
    Classes of data and their tiers by days; see modules/storage_tiers. Days count from the upload, also of what is read
    every day: weights and knowledge have no archive here, since a new node could not read them for hours.
  EOT
  type = map(object({
    ia_days           = optional(number)
    deep_archive_days = optional(number)
    noncurrent_days   = optional(number, 0)
    recovery_hours    = optional(number)
    write_once        = optional(bool, false)
  }))
  default = {
    checkpoints = { ia_days = 30, deep_archive_days = 90, noncurrent_days = 30, recovery_hours = 48 }
    weights     = { ia_days = 60, noncurrent_days = 90, recovery_hours = 24, write_once = true }
    knowledge   = { ia_days = 90, noncurrent_days = 90, recovery_hours = 24 }
    audit       = { ia_days = 30, deep_archive_days = 90, recovery_hours = 72 }
  }
}

variable "kms_key_arn" {
  description = "KMS key for the buckets; S3's own key when left out."
  type        = string
  default     = null
}

variable "watch" {
  description = "Who is told what, and the month's budget in US$ (none where watch is given without it); see modules/monitoring."
  type = object({
    emails          = optional(list(string), [])
    missing_minutes = optional(number, 15)
    budget_usd      = optional(number)
  })
  default = { budget_usd = 1000 }
}

variable "traffic" {
  description = "Names that send users to one track or the other; see modules/dns_failover. No zone, no records when left out."
  type = object({
    zone = string
    domestic = optional(object({
      addresses = optional(list(string), [])
      standby   = optional(list(string), [])
      countries = optional(list(string), ["CN"])
    }), {})
    fall_back = optional(bool, true)
    check = optional(object({
      protocol   = optional(string, "HTTPS")
      port       = optional(number, 443)
      path       = optional(string, "/healthz")
      interval_s = optional(number, 30)
      failures   = optional(number, 3)
    }), {})
  })
  default = null
}
