output "inventory" {
  description = "The one contract between OpenTofu and Python; its schema is terraform/inventory.schema.json."
  value = {
    schema = 1
    stack  = local.stack
    region = var.region
    network = {
      vpc_id  = module.network.vpc_id
      cidr    = module.network.cidr
      subnets = module.network.subnets
    }
    pools   = { for name, pool in module.pool : name => pool.pool }
    storage = module.storage.buckets
  }
}
