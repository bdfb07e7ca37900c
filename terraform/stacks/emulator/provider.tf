locals {
  stack = "emulator"
}

variable "aws_endpoint" {
  description = "Address of the emulated AWS API, such as http://127.0.0.1:5000 (`dualtrack lab status --json` names it)."
  type        = string

  validation {
    condition     = can(regex("^https?://[^/ ]+$", var.aws_endpoint))
    error_message = "aws_endpoint: \"${var.aws_endpoint}\" is not an address; write one like \"http://127.0.0.1:5000\"."
  }
}

provider "aws" {
  region = var.region

  # The emulator answers what it knows at once; what it does not know fails, and would be tried for minutes.
  max_retries                 = 1
  s3_force_path_style         = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {
    autoscaling = var.aws_endpoint
    budgets     = var.aws_endpoint
    cloudwatch  = var.aws_endpoint
    ec2         = var.aws_endpoint
    elb         = var.aws_endpoint
    iam         = var.aws_endpoint
    kms         = var.aws_endpoint
    route53     = var.aws_endpoint
    s3          = var.aws_endpoint
    sns         = var.aws_endpoint
    sts         = var.aws_endpoint
  }
}
