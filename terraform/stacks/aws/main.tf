# What a deployment is made of. Both stacks hold this same file (the emulator's is a link), so that what runs in the lab
# is what runs on a real account; a stack's own is in versions.tf and provider.tf.

locals {
  tags = {
    "dualtrack:deployment" = var.name
    "dualtrack:track"      = "cloud"
  }
}

data "aws_caller_identity" "current" {}

resource "aws_key_pair" "operator" {
  key_name   = var.name
  public_key = trimspace(var.ssh_public_key)

  tags = merge(local.tags, { Name = var.name })
}

module "network" {
  source = "../../modules/network"

  name           = var.name
  region         = var.region
  network        = var.network
  operator_cidrs = var.operator_cidrs
  tags           = local.tags
}

module "storage" {
  source = "../../modules/storage_tiers"

  deployment    = var.name
  suffix        = data.aws_caller_identity.current.account_id
  classes       = var.storage
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy
  tags          = local.tags
}

module "pool" {
  source   = "../../modules/gpu_pool"
  for_each = var.pools

  deployment        = var.name
  name              = each.key
  pool              = each.value
  subnets           = module.network.subnets
  security_group_id = module.network.node_security_group_id
  image             = var.image
  key_name          = aws_key_pair.operator.key_name
  utc_offset        = var.time_zone.utc_offset

  # Nodes load weights and knowledge, and write checkpoints. The audit store is not theirs to touch.
  buckets = {
    read  = [for class in ["weights", "knowledge"] : module.storage.buckets[class].arn if contains(keys(var.storage), class)]
    write = [for class in ["checkpoints"] : module.storage.buckets[class].arn if contains(keys(var.storage), class)]
  }
}
