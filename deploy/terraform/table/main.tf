# The table of the sessions, for applications that use the packages: as the project's SAM template has it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "table_name" {
  description = "The table's name. The packages expect app_session unless they are told another one."
  type        = string
  default     = "app_session"
}

variable "kms_key_arn" {
  description = "A customer managed key that encrypts the table. null: a key that DynamoDB owns, at no charge."
  type        = string
  default     = null
}

variable "deletion_protection_enabled" {
  description = "Whether DynamoDB refuses to delete the table."
  type        = bool
  default     = true
}

resource "aws_dynamodb_table" "sessions" {
  name                        = var.table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "id"
  deletion_protection_enabled = var.deletion_protection_enabled

  attribute {
    name = "id"
    type = "S"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

# What an application needs for its sessions, and nothing else.
data "aws_iam_policy_document" "sessions" {
  statement {
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    resources = [aws_dynamodb_table.sessions.arn]
  }
}

output "table_name" {
  description = "SESSION_TABLE_NAME of the applications."
  value       = aws_dynamodb_table.sessions.name
}

output "table_arn" {
  value = aws_dynamodb_table.sessions.arn
}

output "policy_json" {
  description = "A policy for the roles of the applications."
  value       = data.aws_iam_policy_document.sessions.json
}
