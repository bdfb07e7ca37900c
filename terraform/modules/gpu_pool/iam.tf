# What a node may do: read and write the buckets it was given, keep its record of the traffic, nothing else. A role per
# pool, so that taking a pool away takes its rights away.

resource "aws_iam_role" "node" {
  name        = "${local.id}-node"
  description = "Nodes of pool ${local.id}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "buckets" {
  for_each = length(concat(var.buckets.read, var.buckets.write)) > 0 ? { this = true } : {}

  name = "buckets"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "List"
          Effect   = "Allow"
          Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
          Resource = concat(var.buckets.read, var.buckets.write)
        },
        {
          Sid      = "Read"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:GetObjectVersion"]
          Resource = [for arn in concat(var.buckets.read, var.buckets.write) : "${arn}/*"]
        },
      ],
      [for arns in [var.buckets.write] : {
        Sid      = "Write"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = [for arn in arns : "${arn}/*"]
      } if length(arns) > 0]
    )
  })
}

# IAM cannot tell one node's record from another's of the same name: a node could take its neighbours out of the traffic,
# but can neither write another name or type nor read the zone.
resource "aws_iam_role_policy" "traffic" {
  for_each = var.traffic == null ? {} : { this = var.traffic }

  name = "traffic"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "OwnRecord"
      Effect   = "Allow"
      Action   = "route53:ChangeResourceRecordSets"
      Resource = each.value.zone_arn
      Condition = {
        "ForAllValues:StringEquals" = {
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [each.value.record]
          "route53:ChangeResourceRecordSetsRecordTypes"           = ["A"]
          "route53:ChangeResourceRecordSetsActions"               = ["UPSERT", "DELETE"]
        }
        # "For all values" is true of none, too: a request that says nothing of its records must not pass.
        Null = {
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = "false"
          "route53:ChangeResourceRecordSetsRecordTypes"           = "false"
          "route53:ChangeResourceRecordSetsActions"               = "false"
        }
      }
    }]
  })
}

# While jobs run on a node, it keeps its own group from ending it to grow smaller (role spot_guard).
resource "aws_iam_role_policy" "protection" {
  name = "protection"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "OwnGroup"
      Effect   = "Allow"
      Action   = "autoscaling:SetInstanceProtection"
      Resource = "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/${local.id}"
    }]
  })
}

resource "aws_iam_instance_profile" "node" {
  name = "${local.id}-node"
  role = aws_iam_role.node.name
}
