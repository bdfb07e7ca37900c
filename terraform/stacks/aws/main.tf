# What a deployment is made of. Both stacks hold this same file (the emulator's is a link), so that what runs in the lab
# is what runs on a real account; a stack's own is in versions.tf and provider.tf.

locals {
  tags = {
    "dualtrack:deployment" = var.name
    "dualtrack:track"      = "cloud"
  }

  # Apart from the others, since it is left out where no model is declared; a pool like them otherwise.
  serving = { for it in var.serving[*] : "serving" => merge(it, { lifecycle = "spot", roles = ["serving"], schedules = {} }) }
  pools   = merge(var.pools, local.serving)

  # One entrance for the gateways of all pools.
  gateways = [for name, pool in local.pools : name if contains(pool.roles, "gateway")]

  # Operators' ranges are let in from the Internet: where instances have an address there, ssh goes to it.
  connection = { kind = var.network.jump != "" ? "jump" : var.network.public ? "public" : "private", jump = var.network.jump }
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
  engines        = var.serving == null ? null : { cidrs = var.serving.gateway_cidrs, ports = var.serving.ports }
  tags           = local.tags
}

module "entrance" {
  source = "../../modules/entrance"
  count  = length(local.gateways) > 0 ? 1 : 0

  name         = var.name
  network      = { vpc_id = module.network.vpc_id, cidr = module.network.cidr, subnets = module.network.subnets }
  public       = var.network.public
  client_cidrs = var.network.client_cidrs
  tags         = local.tags
}

module "storage" {
  source = "../../modules/storage_tiers"

  deployment  = var.name
  suffix      = data.aws_caller_identity.current.account_id
  classes     = var.storage
  kms_key_arn = var.kms_key_arn
  # Not for an operator to choose: what is in a real account's buckets is never deleted with them.
  force_destroy = local.stack == "emulator"
  tags          = local.tags
}

module "dns_failover" {
  source = "../../modules/dns_failover"
  count  = var.traffic == null ? 0 : 1

  deployment = var.name
  zone       = var.traffic.zone
  domestic   = var.traffic.domestic
  fall_back  = var.traffic.fall_back
  check      = var.traffic.check
  tags       = local.tags
}

# The state of before has the module under its former name.
moved {
  from = module.traffic
  to   = module.dns_failover
}

module "pool" {
  source   = "../../modules/gpu_pool"
  for_each = local.pools

  deployment = var.name
  name       = each.key
  pool       = each.value
  subnets    = module.network.subnets
  security_group_ids = concat(
    [module.network.node_security_group_id],
    contains(keys(local.serving), each.key) ? module.network.engine_security_group_ids : [],
    contains(local.gateways, each.key) ? module.entrance[*].security_group_id : [],
  )
  target_group_arns = contains(local.gateways, each.key) ? module.entrance[*].target_group_arn : []
  image             = each.value.image == null ? var.image : each.value.image
  key_name          = aws_key_pair.operator.key_name
  utc_offset        = var.time_zone.utc_offset

  # Nodes load weights and knowledge, and write checkpoints. The audit store is not theirs to touch.
  buckets = {
    read  = [for class in ["weights", "knowledge"] : module.storage.buckets[class].arn if contains(keys(var.storage), class)]
    write = [for class in ["checkpoints"] : module.storage.buckets[class].arn if contains(keys(var.storage), class)]
  }

  kms_key_arn = var.kms_key_arn

  # Users are sent to the nodes that serve; the controllers keep the records (role traffic_keeper), and no node can.
  traffic = contains(each.value.roles, "controller") ? one([for t in module.dns_failover : { zone_arn = t.zone_arn, record = t.nodes }]) : null
}

module "monitoring" {
  source = "../../modules/monitoring"

  deployment      = var.name
  account_id      = data.aws_caller_identity.current.account_id
  emails          = var.watch.emails
  groups          = { for name, pool in module.pool : name => pool.pool.autoscaling_group }
  missing_minutes = var.watch.missing_minutes
  budget_usd      = var.watch.budget_usd
  # Route53 reports to CloudWatch in us-east-1 only, and an alarm writes to a topic of its own region only.
  health_checks = merge([for t in module.dns_failover : t.health_checks if var.region == "us-east-1"]...)
  tags          = local.tags
}

# The state of before has the module under its former name.
moved {
  from = module.watch
  to   = module.monitoring
}
