variable "deployment" {
  description = "Name of the deployment; the pool's resources are named <deployment>-<pool name>."
  type        = string
}

variable "name" {
  description = "Name of the pool; it becomes an Ansible group."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,19}$", var.name))
    error_message = "pools: \"${var.name}\" cannot name a pool; write 1 to 20 lower-case letters, digits and underscores that start with a letter, such as \"spot\": it becomes an Ansible group."
  }
}

variable "pool" {
  description = <<-EOT
    What the pool is made of.
    lifecycle: "spot" or "on-demand". roles: what its hosts do (they become groups). instance_types: in order of
    preference, all with the same number of GPUs, so that a job that fits one fits all. desired: the size at creation;
    later the schedules, the autoscaler or the operator change it, and OpenTofu lets them. on_demand_base: how many of a
    spot pool's instances are bought on demand. zones: where (all of the network's when left out).
    disk_mb_s: what the disk reads and writes in MB a second, 125 to 1000; above 125 it costs more. cluster: whether its
    instances are near each other, for jobs over several of them; in one zone, then. reservation: the id of a capacity
    reservation that they use, of an on-demand pool.
    schedules: name => when (at: "HH:MM" in the operator's time; days: all when left out) the pool gets which size.
  EOT
  type = object({
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
    schedules = optional(map(object({
      at      = string
      days    = optional(list(string), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
      desired = number
    })), {})
  })

  validation {
    condition     = contains(["spot", "on-demand"], var.pool.lifecycle)
    error_message = "lifecycle: \"${var.pool.lifecycle}\" is not known; write \"spot\" or \"on-demand\"."
  }

  validation {
    condition     = length(var.pool.instance_types) > 0 && length(var.pool.instance_types) == length(distinct(var.pool.instance_types))
    error_message = "instance_types: write at least one type, and each only once; got [${join(", ", var.pool.instance_types)}]."
  }

  validation {
    condition     = length(var.pool.roles) > 0 && alltrue([for role in var.pool.roles : can(regex("^[a-z][a-z0-9_]*$", role))])
    error_message = "roles: write at least one name of lower-case letters, digits and underscores, such as [\"gpu\"]; got [${join(", ", var.pool.roles)}]."
  }

  validation {
    condition = (
      alltrue([for n in [var.pool.min, var.pool.desired, var.pool.max, var.pool.on_demand_base] : n >= 0 && floor(n) == n]) &&
      var.pool.min <= var.pool.desired && var.pool.desired <= var.pool.max && var.pool.on_demand_base <= var.pool.max
    )
    error_message = "sizes: write whole numbers with min <= desired <= max and on_demand_base <= max; got min ${var.pool.min}, desired ${var.pool.desired}, max ${var.pool.max}, on_demand_base ${var.pool.on_demand_base}."
  }

  validation {
    condition     = var.pool.disk_gb >= 20
    error_message = "disk_gb: ${var.pool.disk_gb} GB does not hold the system and the drivers; write 20 or more."
  }

  validation {
    condition     = var.pool.disk_mb_s >= 125 && var.pool.disk_mb_s <= 1000
    error_message = "disk_mb_s: a gp3 disk gives 125 to 1000 MB a second; got ${var.pool.disk_mb_s}."
  }

  validation {
    condition     = var.pool.reservation == null ? true : can(regex("^cr-[0-9a-f]{8,17}$", var.pool.reservation))
    error_message = "reservation: \"${try(format("%s", var.pool.reservation), "")}\" is not the id of a capacity reservation; write one like \"cr-0123456789abcdef0\"."
  }

  validation {
    condition     = var.pool.reservation == null || var.pool.lifecycle == "on-demand"
    error_message = "reservation: spot instances use none; make the pool \"on-demand\", or leave the reservation out."
  }

  validation {
    condition     = alltrue([for s in values(var.pool.schedules) : can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", s.at))])
    error_message = "schedules: at is a time of the operator's day, written \"HH:MM\" from \"00:00\" to \"23:59\"; got ${join(", ", [for s in values(var.pool.schedules) : "\"${s.at}\""])}."
  }

  validation {
    condition     = alltrue([for s in values(var.pool.schedules) : length(s.days) > 0 && alltrue([for day in s.days : contains(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], day)])])
    error_message = "schedules: days is a list of \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"; leave it out for every day."
  }

  validation {
    condition     = alltrue([for s in values(var.pool.schedules) : s.desired >= var.pool.min && s.desired <= var.pool.max])
    error_message = "schedules: desired must lie between the pool's min (${var.pool.min}) and max (${var.pool.max})."
  }
}

variable "subnets" {
  description = "The network's subnets: zone => { id }."
  type        = map(object({ id = string }))
}

variable "security_group_ids" {
  description = "Security groups of the nodes."
  type        = list(string)
}

variable "target_group_arns" {
  description = "Load balancers' groups that the pool's instances are registered in."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "Machine image: its id, the user its cloud-init gives the key to, and the name of its root device."
  type = object({
    id          = string
    ssh_user    = optional(string, "admin")
    root_device = optional(string, "/dev/xvda")
  })

  validation {
    condition     = can(regex("^ami-([0-9a-f]{8}|[0-9a-f]{17})$", var.image.id))
    error_message = "image.id: \"${var.image.id}\" is not an image id; write one like \"ami-0123456789abcdef0\" (README.md says how to find Debian 12's)."
  }
}

variable "key_name" {
  description = "Name of the operator's key pair."
  type        = string
}

variable "buckets" {
  description = "What the nodes may do in S3: bucket ARNs that they read, and those that they also write."
  type = object({
    read  = optional(list(string), [])
    write = optional(list(string), [])
  })
  default = {}
}

variable "kms_key_arn" {
  description = "KMS key that the buckets are encrypted with; left out where it is S3's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]+:key/", var.kms_key_arn))
    error_message = "kms_key_arn: write the ARN of a key, such as \"arn:aws:kms:us-east-1:111122223333:key/…\", or leave it out; what an alias is allowed, IAM does not know."
  }
}

variable "traffic" {
  description = "For controllers: the name whose records they keep, and the ARN of its Route53 zone. Left out, these hosts may write none."
  type = object({
    zone_arn = string
    record   = string
  })
  default = null

  validation {
    condition     = var.traffic == null || can(regex("^arn:[a-z-]+:route53:::hostedzone/[A-Z0-9]+$", var.traffic.zone_arn))
    error_message = "traffic.zone_arn: write the ARN of one zone, such as \"arn:aws:route53:::hostedzone/Z0123456789ABC\"."
  }

  validation {
    # The form that IAM compares with: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html
    condition     = var.traffic == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z0-9-]+$", var.traffic.record))
    error_message = "traffic.record: write the whole name in lower-case letters and without a dot at its end, such as \"nodes.llm.example.com\"."
  }
}

variable "utc_offset" {
  description = "The operator's offset from UTC, such as \"+08:00\": schedules are written in the operator's time."
  type        = string
  default     = "+00:00"

  validation {
    condition     = can(regex("^[+-](0[0-9]|1[0-4]):[0-5][0-9]$", var.utc_offset))
    error_message = "utc_offset: \"${var.utc_offset}\" is not an offset; write one like \"+08:00\" or \"-05:00\"."
  }
}

variable "tags" {
  description = "Further tags for every instance and volume of the pool."
  type        = map(string)
  default     = {}
}
