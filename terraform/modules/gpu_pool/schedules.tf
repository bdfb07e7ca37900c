# Sizes by the hour, in the operator's time. Provider 3.39 has no time_zone here (6.x has), so the hour is moved to UTC,
# and with it the day where it crosses midnight.

locals {
  weekdays     = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] # cron counts from Sunday
  offset_parts = split(":", trimprefix(trimprefix(var.utc_offset, "+"), "-"))
  offset_minutes = (
    (startswith(var.utc_offset, "-") ? -1 : 1) * (tonumber(local.offset_parts[0]) * 60 + tonumber(local.offset_parts[1]))
  )

  # Minutes from the operator's midnight to the event, in UTC: negative is the day before, 1440 and more the day after.
  utc_minutes = {
    for name, s in var.pool.schedules :
    name => tonumber(split(":", s.at)[0]) * 60 + tonumber(split(":", s.at)[1]) - local.offset_minutes
  }

  recurrences = {
    for name, s in var.pool.schedules : name => format(
      "%d %d * * %s",
      (local.utc_minutes[name] + 1440) % 60,
      floor(((local.utc_minutes[name] + 1440) % 1440) / 60),
      length(distinct(s.days)) == 7 ? "*" : join(",", sort([
        for day in distinct(s.days) :
        tostring((index(local.weekdays, day) + 7 + floor(local.utc_minutes[name] / 1440)) % 7)
      ]))
    )
  }
}

resource "aws_autoscaling_schedule" "this" {
  for_each = var.pool.schedules

  scheduled_action_name  = each.key
  autoscaling_group_name = aws_autoscaling_group.this.name
  recurrence             = local.recurrences[each.key]
  desired_capacity       = each.value.desired
  # Given again, not left out: an omitted bound means 0 to this provider, and a schedule must not move the bounds anyway.
  min_size = var.pool.min
  max_size = var.pool.max
}
