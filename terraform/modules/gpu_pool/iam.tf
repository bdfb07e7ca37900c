# What a node may do: read and write the buckets it was given, keep its own group from ending it while jobs run; a
# controller keeps the traffic's records, too. Nothing else. A role per pool, so that taking a pool away takes its rights away.

data "aws_partition" "current" {}

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

locals {
  # Keys of the role that somebody took from an instance are worth nothing elsewhere: S3 answers them only through an endpoint of
  # the VPC, and from the private address, that they were issued for. Module network has that endpoint. No condition of this
  # kind is possible where requests leave by the internet, as those to EC2 Auto Scaling do: those are narrow in themselves.
  # https://aws.amazon.com/blogs/security/how-to-use-policies-to-restrict-where-ec2-instance-credentials-can-be-used-from/
  own_instance = {
    StringEquals = {
      "aws:SourceVpc"   = "$${aws:Ec2InstanceSourceVpc}"
      "aws:VpcSourceIp" = "$${aws:Ec2InstanceSourcePrivateIPv4}"
    }
  }
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
          Sid       = "List"
          Effect    = "Allow"
          Action    = ["s3:ListBucket", "s3:GetBucketLocation"]
          Resource  = concat(var.buckets.read, var.buckets.write)
          Condition = local.own_instance
        },
        {
          Sid       = "Read"
          Effect    = "Allow"
          Action    = ["s3:GetObject", "s3:GetObjectVersion"]
          Resource  = [for arn in concat(var.buckets.read, var.buckets.write) : "${arn}/*"]
          Condition = local.own_instance
        },
      ],
      [for arns in [var.buckets.write] : {
        Sid       = "Write"
        Effect    = "Allow"
        Action    = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource  = [for arn in arns : "${arn}/*"]
        Condition = local.own_instance
      } if length(arns) > 0]
    )
  })
}

# What keeps the records of nodes (role traffic_keeper, on controllers). IAM can limit name and type, not values, so the
# nodes themselves do not get this. Reading the zone and the instances tells the keeper what is to be there.
resource "aws_iam_role_policy" "traffic" {
  for_each = var.traffic == null ? {} : { this = var.traffic }

  name = "traffic"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "NodesRecords"
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
      },
      {
        Sid      = "ReadZone"
        Effect   = "Allow"
        Action   = "route53:ListResourceRecordSets"
        Resource = each.value.zone_arn
      },
      # No narrower resource exists: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
      {
        Sid      = "WhoRuns"
        Effect   = "Allow"
        Action   = "ec2:DescribeInstances"
        Resource = "*"
      },
    ]
  })
}

# S3 decrypts and encrypts for a caller who may use the key; on its own the node cannot.
resource "aws_iam_role_policy" "key" {
  for_each = var.kms_key_arn == null ? {} : { this = var.kms_key_arn }

  name = "key"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ByS3"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = each.value
      Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com*" } }
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
      Resource = "arn:${data.aws_partition.current.partition}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/${local.id}"
    }]
  })
}

resource "aws_iam_instance_profile" "node" {
  name = "${local.id}-node"
  role = aws_iam_role.node.name
}
