# Names, and who stands behind them (docs/adr/0013-dns-failover-and-geolocation-node-records-kept-by-controllers.md):
#   api       what users ask: by their country to domestic or to overseas
#   domestic  local, or its standby; never the cloud
#   overseas  nodes, or domestic where fall_back says so
#   local, standby   the addresses that were written, each while its own check finds it well
#   nodes     the cloud's nodes, each while it says so itself: they write and delete these records, not OpenTofu
# Every step is a CNAME: Route53 refuses an alias to a name that does not exist yet, and nodes has no record at first.

data "aws_partition" "current" {}

locals {
  name = { for label in ["api", "domestic", "overseas", "local", "standby", "nodes"] : label => "${label}.${var.zone}" }

  # What a change of mind costs at most, in seconds, beside the check's own interval_s * failures. The nodes' records
  # live for 10 s.
  ttl = 30

  # address => the name that it stands behind
  places = merge(
    { for address in var.domestic.addresses : address => "local" },
    { for address in var.domestic.standby : address => "standby" },
  )
  has_local   = length(var.domestic.addresses) > 0
  has_standby = length(var.domestic.standby) > 0
}

resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38:DNSSEC needs the parent zone's operator, who is not known here
  # checkov:skip=CKV2_AWS_39:queries name users' resolvers; what is done for them is recorded by the audit chain
  name    = var.zone
  comment = "Traffic of ${var.deployment}"

  # The nodes' records are not in the state, and would stop a destroy. Nothing in the zone outlives the deployment.
  force_destroy = true

  tags = merge(var.tags, { Name = "${var.deployment}-traffic" })
}

# --- the local track ---------------------------------------------------------------------------------------------------

resource "aws_route53_health_check" "address" {
  for_each = local.places

  ip_address        = each.key
  fqdn              = local.name.api # the name that is asked for there, as users do
  type              = var.check.protocol
  port              = var.check.port
  resource_path     = var.check.path
  request_interval  = var.check.interval_s
  failure_threshold = var.check.failures

  tags = merge(var.tags, { Name = "${var.deployment}-${each.value}-${each.key}" })
}

# One record an address, so that a dead one leaves the answers and the others stay.
resource "aws_route53_record" "address" {
  # checkov:skip=CKV2_AWS_23:these are the local track's addresses; it is not made of AWS resources
  for_each = local.places

  zone_id                          = aws_route53_zone.this.zone_id
  name                             = local.name[each.value]
  type                             = "A"
  ttl                              = local.ttl
  records                          = [each.key]
  set_identifier                   = each.key
  health_check_id                  = aws_route53_health_check.address[each.key].id
  multivalue_answer_routing_policy = true
}

# The local track is well while one of its addresses is.
resource "aws_route53_health_check" "domestic" {
  for_each = local.has_local ? { this = true } : {}

  type                   = "CALCULATED"
  child_healthchecks     = [for address in var.domestic.addresses : aws_route53_health_check.address[address].id]
  child_health_threshold = 1

  tags = merge(var.tags, { Name = "${var.deployment}-domestic" })
}

resource "aws_route53_record" "domestic" {
  for_each = local.has_local ? merge({ PRIMARY = "local" }, local.has_standby ? { SECONDARY = "standby" } : {}) : {}

  zone_id         = aws_route53_zone.this.zone_id
  name            = local.name.domestic
  type            = "CNAME"
  ttl             = local.ttl
  records         = [local.name[each.value]]
  set_identifier  = each.value
  health_check_id = each.key == "PRIMARY" ? aws_route53_health_check.domestic["this"].id : null

  failover_routing_policy {
    type = each.key
  }
}

# --- the cloud ---------------------------------------------------------------------------------------------------------

# Route53 asks one of the nodes that are in the records. No node in them is a failure, too, and rightly so.
resource "aws_route53_health_check" "overseas" {
  fqdn              = local.name.nodes
  type              = var.check.protocol
  port              = var.check.port
  resource_path     = var.check.path
  request_interval  = var.check.interval_s
  failure_threshold = var.check.failures

  tags = merge(var.tags, { Name = "${var.deployment}-overseas" })
}

resource "aws_route53_record" "overseas" {
  for_each = merge({ PRIMARY = "nodes" }, local.has_local && var.fall_back ? { SECONDARY = "domestic" } : {})

  zone_id         = aws_route53_zone.this.zone_id
  name            = local.name.overseas
  type            = "CNAME"
  ttl             = local.ttl
  records         = [local.name[each.value]]
  set_identifier  = each.value
  health_check_id = each.key == "PRIMARY" ? aws_route53_health_check.overseas.id : null

  failover_routing_policy {
    type = each.key
  }
}

# --- users -------------------------------------------------------------------------------------------------------------

# No health check here, on purpose: Route53 answers for an unhealthy country with the next larger place, which is the
# default, which is the cloud. Domestic requests must fail rather than go there.
resource "aws_route53_record" "api" {
  for_each = merge({ "*" = "overseas" }, local.has_local ? { for country in var.domestic.countries : country => "domestic" } : {})

  zone_id        = aws_route53_zone.this.zone_id
  name           = local.name.api
  type           = "CNAME"
  ttl            = local.ttl
  records        = [local.name[each.value]]
  set_identifier = each.key == "*" ? "default" : each.key

  geolocation_routing_policy {
    country = each.key
  }
}
