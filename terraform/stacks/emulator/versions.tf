terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Only this stack is held below 4: there s3_force_path_style was renamed, and no name is known to both.
      version = ">= 3.39, < 4"
    }
  }

  # Its path is given at init, outside the checkout: the lab may run from a read-only one.
  backend "local" {}
}
