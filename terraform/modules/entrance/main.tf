# Where clients ask the gateways: one name that stays while gateways come and go. The load balancer passes TCP on: the
# gateways end TLS and see the addresses of clients, by which they count requests and know countries.

resource "aws_security_group" "clients" {
  # checkov:skip=CKV2_AWS_5:the launch templates of module gpu_pool use it; checkov does not follow it there
  name        = "${var.name}-clients"
  description = "Gateways: their port for clients, and for the load balancer's checks"
  vpc_id      = var.network.vpc_id

  ingress {
    description = "clients, and checks from within the VPC"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = distinct(concat(var.client_cidrs, [var.network.cidr]))
  }

  tags = merge(var.tags, { Name = "${var.name}-clients" })
}

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91:a network load balancer logs TLS connections alone, and TLS ends at the gateways, which log requests
  # checkov:skip=CKV_AWS_150:nothing is lost with it but its name; a deployment that is taken down must not leave what costs
  # checkov:skip=CKV2_AWS_20:it passes TCP on, and has no HTTP to redirect
  # checkov:skip=CKV2_AWS_28:a web application firewall cannot be put before a network load balancer
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = !var.public
  subnets                          = [for subnet in var.network.subnets : subnet.id]
  enable_cross_zone_load_balancing = true

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_lb_target_group" "gateways" {
  name     = "${var.name}-gateways"
  vpc_id   = var.network.vpc_id
  protocol = "TCP"
  port     = 443
  # An answer of a model may take minutes: a gateway that is taken away ends those that it has begun.
  deregistration_delay = 300

  # 200 while an engine of any model can take a request.
  health_check {
    protocol            = "HTTPS"
    path                = "/healthz"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = merge(var.tags, { Name = "${var.name}-gateways" })
}

resource "aws_lb_listener" "clients" {
  # checkov:skip=CKV_AWS_2:TLS ends at the gateways
  # checkov:skip=CKV_AWS_103:TLS ends at the gateways, which refuse what is older than 1.2
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = 443

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.gateways.arn
  }
}
