# Versioning, encryption and lifecycle stand inside aws_s3_bucket, not beside it: the separate resources do not exist in
# provider 3.39 (docs/adr/0004-s3-bucket-settings-as-inline-blocks-for-aws-provider-3-39-and-6-x.md).

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_18:reads are audited by the track itself (audit chain), and access logs of a log bucket never end
  # checkov:skip=CKV_AWS_144:the second copy of what matters is the local track, not another region
  # checkov:skip=CKV2_AWS_62:nothing listens to bucket events
  # checkov:skip=CKV_AWS_145:a key of the operator's own is used where kms_key_arn names one
  # checkov:skip=CKV2_AWS_6:aws_s3_bucket_public_access_block.this below has one for each; checkov loses it in the for_each
  for_each = var.classes

  bucket        = "${var.deployment}-${each.key}-${var.suffix}"
  force_destroy = var.force_destroy

  versioning {
    enabled = true
  }

  server_side_encryption_configuration {
    rule {
      bucket_key_enabled = var.kms_key_arn != null

      apply_server_side_encryption_by_default {
        sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
        kms_master_key_id = var.kms_key_arn
      }
    }
  }

  lifecycle_rule {
    id      = "tiers"
    enabled = true

    # Parts of an upload that never ended are billed and not listed.
    abort_incomplete_multipart_upload_days = 7

    dynamic "transition" {
      for_each = each.value.ia_days == null ? [] : [each.value.ia_days]

      content {
        days          = transition.value
        storage_class = "STANDARD_IA"
      }
    }

    dynamic "transition" {
      for_each = each.value.deep_archive_days == null ? [] : [each.value.deep_archive_days]

      content {
        days          = transition.value
        storage_class = "DEEP_ARCHIVE"
      }
    }

    dynamic "noncurrent_version_expiration" {
      for_each = each.value.noncurrent_days > 0 ? [each.value.noncurrent_days] : []

      content {
        days = noncurrent_version_expiration.value
      }
    }
  }

  tags = merge(
    var.tags,
    { Name = "${var.deployment}-${each.key}", "dualtrack:data-class" = each.key },
    each.value.recovery_hours == null ? {} : { "dualtrack:recovery-hours" = tostring(each.value.recovery_hours) },
  )
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_partition" "current" {}

locals {
  # Written out, so that a plan shows the policies: the buckets' own ARNs are known when they are there.
  arns = { for class, bucket in aws_s3_bucket.this : class => "arn:${data.aws_partition.current.partition}:s3:::${bucket.bucket}" }

  # By class: what is created once and never replaced. A manifest has the digests of all files of a version, so the version is what
  # it was when it was pushed (docs/adr/0030-checkpoint-versions-named-by-digest-and-protected-by-bucket-policy.md); where nothing is replaced, its files stay, too.
  created_once = { for class, arn in local.arns : class => var.classes[class].write_once ? "${arn}/*" : "${arn}/*/.dualtrack-manifest.json" }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Encryption on the way, too: S3 answers plain HTTP unless told not to.
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.arns[each.key], "${local.arns[each.key]}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        # An upload in parts creates its object by its last request, which carries the header; the others cannot carry it:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        Sid       = "CreateOnce"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = local.created_once[each.key]
        Condition = {
          Null = { "s3:if-none-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        }
      },
      {
        # What is deleted could be created anew. The roles of module gpu_pool have no right to; whoever gives them one changes nothing.
        Sid       = "NodesDeleteNothing"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]
        Resource  = [local.arns[each.key], "${local.arns[each.key]}/*"]
        Condition = { ArnLike = { "aws:PrincipalArn" = "arn:${data.aws_partition.current.partition}:iam::*:role/${var.deployment}-*-node" } }
      },
    ]
  })

  # S3 refuses two changes of one bucket's access at the same moment.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

moved {
  from = aws_s3_bucket_policy.tls_only
  to   = aws_s3_bucket_policy.this
}
