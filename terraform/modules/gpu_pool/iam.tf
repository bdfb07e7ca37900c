# What a node may do: read and write the buckets it was given, nothing else. A role per pool, so that taking a pool away
# takes its rights away.

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

resource "aws_iam_instance_profile" "node" {
  name = "${local.id}-node"
  role = aws_iam_role.node.name
}
