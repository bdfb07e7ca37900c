variable "deployment" {
  description = "Name of the deployment; buckets are named <deployment>-<class>-<suffix>."
  type        = string
}

variable "suffix" {
  description = "End of every bucket name. Bucket names are unique over all of AWS, so this is the account's number."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,18}[a-z0-9]$", var.suffix))
    error_message = "suffix: write 2 to 20 lower-case letters, digits and hyphens, such as the account's number."
  }
}

variable "classes" {
  description = <<-EOT
    Classes of data: class => after how many days its objects go to Infrequent Access (ia_days) and to Glacier Deep
    Archive (deep_archive_days, 30 more than ia_days), counted from their upload, and how long a replaced version is kept
    (noncurrent_days; 0 = for ever). Leave ia_days or deep_archive_days out to never go there. recovery_hours is the
    budget of recovery: within so many hours what is stored must be readable again. Reading Deep Archive takes 12 hours,
    and 48 by its cheapest way (docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html).
    write_once: every object is created once and never replaced (requests carry `If-None-Match: *`, and nothing can be copied
    within S3); without it this holds for the manifests of versions alone.
  EOT
  type = map(object({
    ia_days           = optional(number)
    deep_archive_days = optional(number)
    noncurrent_days   = optional(number, 0)
    recovery_hours    = optional(number)
    write_once        = optional(bool, false)
  }))

  validation {
    condition     = alltrue([for class in keys(var.classes) : can(regex("^[a-z][a-z0-9-]{1,15}$", class))])
    error_message = "storage: a class is named with 2 to 16 lower-case letters, digits and hyphens, such as \"checkpoints\"; got ${join(", ", keys(var.classes))}."
  }

  validation {
    condition     = alltrue([for c in values(var.classes) : coalesce(c.ia_days, 30) >= 30])
    error_message = "storage: S3 moves nothing to Infrequent Access before 30 days; write ia_days = 30 or more in ${join(", ", [for class, c in var.classes : class if coalesce(c.ia_days, 30) < 30])}."
  }

  validation {
    condition     = alltrue([for c in values(var.classes) : c.deep_archive_days == null || coalesce(c.deep_archive_days, 1) >= coalesce(c.ia_days, -29) + 30])
    error_message = "storage: Infrequent Access bills at least 30 days, so write deep_archive_days = ia_days + 30 or more in ${join(", ", [for class, c in var.classes : class if c.deep_archive_days != null && coalesce(c.deep_archive_days, 1) < coalesce(c.ia_days, -29) + 30])}."
  }

  validation {
    condition     = alltrue([for c in values(var.classes) : c.deep_archive_days == null || coalesce(c.recovery_hours, 12) >= 12])
    error_message = "storage: reading Deep Archive takes 12 hours, so write recovery_hours = 12 or more, or leave deep_archive_days out, in ${join(", ", [for class, c in var.classes : class if c.deep_archive_days != null && coalesce(c.recovery_hours, 12) < 12])}."
  }

  validation {
    condition     = alltrue([for c in values(var.classes) : coalesce(c.recovery_hours, 1) > 0])
    error_message = "storage: recovery_hours is more than 0; leave it out where nobody waits."
  }

  validation {
    condition     = alltrue([for c in values(var.classes) : c.noncurrent_days >= 0])
    error_message = "storage: noncurrent_days counts days; write 0 to keep replaced versions for ever."
  }
}

variable "kms_key_arn" {
  description = "KMS key to encrypt with; S3's own (AES256) when left out."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn: write the key's ARN, such as \"arn:aws:kms:us-east-1:111122223333:key/…\", or leave it out."
  }
}

variable "force_destroy" {
  description = "Whether destroying a bucket deletes what is in it. Only ever true for the emulator."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for everything in this module."
  type        = map(string)
  default     = {}
}
