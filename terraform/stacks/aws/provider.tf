locals {
  stack = "aws"
}

provider "aws" {
  region = var.region
}
