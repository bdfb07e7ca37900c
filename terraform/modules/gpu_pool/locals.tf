locals {
  id = "${var.deployment}-${var.name}"

  known_types   = jsondecode(file("${path.module}/instance_types.json"))
  unknown_types = [for type in var.pool.instance_types : type if !contains(keys(local.known_types), type)]
  gpu_counts    = distinct([for type in var.pool.instance_types : local.known_types[type].gpus if contains(keys(local.known_types), type)])
  gpus          = try(local.gpu_counts[0], 0)

  zones         = coalesce(var.pool.zones, keys(var.subnets))
  unknown_zones = [for zone in local.zones : zone if !contains(keys(var.subnets), zone)]

  tags = merge(var.tags, {
    Name                   = local.id
    "dualtrack:deployment" = var.deployment
    "dualtrack:track"      = "cloud"
    "dualtrack:pool"       = var.name
    "dualtrack:lifecycle"  = var.pool.lifecycle
    "dualtrack:roles"      = join("+", var.pool.roles)
    "dualtrack:gpus"       = tostring(local.gpus)
  })

  # JSON is YAML, and jsonencode has one spelling for one value: no edit of this file's layout can make a new version of
  # the launch template, as a blank in a heredoc would.
  user_data = "#cloud-config\n${jsonencode({
    write_files = [{
      path        = "/etc/dualtrack/pool.json"
      owner       = "root:root"
      permissions = "0644"
      content = "${jsonencode({
        deployment = var.deployment
        pool       = var.name
        lifecycle  = var.pool.lifecycle
        roles      = var.pool.roles
        gpus       = local.gpus
      })}\n"
    }]
  })}\n"
}
