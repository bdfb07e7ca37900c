variable "deployment" {
  description = "Name of the deployment; topic and key are named <deployment>-watch, alarms <deployment>-<pool>-missing."
  type        = string
}

variable "account_id" {
  description = "The account's number: only its own alarms and budgets may write to the topic."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: \"${var.account_id}\" is not an account; write its 12 digits."
  }
}

variable "emails" {
  description = "Who is written to. AWS asks each once to confirm; until then nothing is sent to it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s.]+$", email))]) && length(var.emails) == length(distinct(var.emails))
    error_message = "emails: write each address once, such as [\"ops@example.com\"]; got [${join(", ", var.emails)}]."
  }
}

variable "groups" {
  description = "The pools' autoscaling groups: pool => name of its group."
  type        = map(string)
}

variable "missing_minutes" {
  description = "An alarm is raised when a pool had fewer instances than it asks for in each of so many minutes in a row."
  type        = number
  default     = 15

  validation {
    condition     = var.missing_minutes >= 1 && var.missing_minutes <= 1440 && floor(var.missing_minutes) == var.missing_minutes
    error_message = "missing_minutes: write whole minutes from 1 to 1440 (CloudWatch looks back one day at most); got ${var.missing_minutes}."
  }
}

variable "health_checks" {
  description = "Route53 health checks to raise an alarm for: name => id. Their metrics, and so their alarms, are in us-east-1 only."
  type        = map(string)
  default     = {}
}

variable "budget_usd" {
  description = "US$ a month that the account may spend before the topic is told; no budget when left out."
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.budget_usd, 1) > 0
    error_message = "budget_usd: write the US$ of a month, more than 0, or leave it out for no budget; got ${coalesce(var.budget_usd, 1)}."
  }
}

variable "tags" {
  description = "Tags for everything in this module that can carry them."
  type        = map(string)
  default     = {}
}
