output "inventory" {
  description = "The one contract between OpenTofu and Python; its schema is terraform/inventory.schema.json."
  value = merge(concat(
    [{
      schema = 1
      stack  = local.stack
      region = var.region
      network = {
        vpc_id  = module.network.vpc_id
        cidr    = module.network.cidr
        subnets = module.network.subnets
      }
      connection = local.connection
      pools      = { for name, pool in module.pool : name => pool.pool }
      storage    = module.storage.buckets
    }],
    # Not there, rather than null, where there is no traffic and no gateway: an output of before reads the same.
    [for t in module.dns_failover : { traffic = { zone_id = t.zone_id, name = t.nodes } }],
    [for it in module.entrance : { entrance = { name = it.name } }],
  )...)

  precondition {
    condition     = var.traffic == null || length(var.pools) == 0 || anytrue([for pool in var.pools : contains(pool.roles, "controller")])
    error_message = "traffic: controllers keep the records of nodes, and no pool has the role \"controller\"; add such a pool, or leave traffic out."
  }

  precondition {
    condition     = var.serving == null || !contains(keys(var.pools), "serving")
    error_message = "pools: the pool \"serving\" is made of the variable serving; give the one in pools another name."
  }
}

output "traffic_name_servers" {
  description = "What the zone's NS record in the zone above it must say; empty without traffic."
  value       = flatten(module.dns_failover[*].name_servers)
}

output "alarm_topic" {
  description = "The topic that alarms and the budget write to, for subscribers other than e-mail."
  value       = module.monitoring.topic_arn
}
