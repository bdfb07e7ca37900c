output "pool" {
  description = "The pool, as the inventory holds it."
  value = {
    lifecycle         = var.pool.lifecycle
    autoscaling_group = aws_autoscaling_group.this.name
    instance_types    = var.pool.instance_types
    gpus              = local.gpus
    roles             = var.pool.roles
    ssh_user          = var.image.ssh_user
    zones             = sort(local.zones)
    min               = var.pool.min
    desired           = aws_autoscaling_group.this.desired_capacity
    max               = var.pool.max
  }
}

output "recurrences" {
  description = "The schedules in UTC cron: name => recurrence."
  value       = local.recurrences
}
