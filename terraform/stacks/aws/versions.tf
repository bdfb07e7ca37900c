terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 3.39, < 7"
    }
  }

  # The rest of it is the operator's: backend.hcl (see backend.hcl.example).
  backend "s3" {}
}
