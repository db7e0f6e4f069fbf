# The whole service: the template of a release as a CloudFormation stack, and its zips in a bucket. So the functions' permissions and
# routes stand in one place, and Terraform knows the outputs.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "The name of the stack."
  type        = string
  default     = "sessions"
}

variable "release" {
  description = "The folder of an unpacked release, or the dist that tools/dist makes: the functions' zips and their template."
  type        = string
}

variable "bucket" {
  description = "A bucket for the zips, in the same Region."
  type        = string
}

variable "parameters" {
  description = "The template's parameters that are not to have their defaults, such as { IdTransport = \"cookie\", AuthorizationType = \"NONE\" }."
  type        = map(string)
  default     = {}
}

locals {
  zips = fileset(var.release, "*.zip")

  # Each zip has its hash in its key: a function is updated when its code has changed, and only then.
  keys = { for zip in local.zips : zip => "${var.name}/${filemd5("${var.release}/${zip}")}-${zip}" }

  template = file("${var.release}/template.yaml")

  # CodeUri: create.zip becomes CodeUri: s3://bucket/key.
  lines = [
    for line in split("\n", local.template) :
    length(regexall("^ +CodeUri: \\w+\\.zip$", line)) == 0 ? line : replace(
      line,
      "/CodeUri: .*/",
      "CodeUri: s3://${var.bucket}/${local.keys[trimspace(replace(line, "CodeUri:", ""))]}",
    )
  ]
}

resource "aws_s3_object" "function" {
  for_each = local.keys

  bucket = var.bucket
  key    = each.value
  source = "${var.release}/${each.key}"
}

resource "aws_cloudformation_stack" "sessions" {
  name          = var.name
  template_body = join("\n", local.lines)
  parameters    = var.parameters
  capabilities  = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  depends_on = [aws_s3_object.function]
}

output "outputs" {
  description = "The outputs of the template: SessionUrl, TableName, AuthorizerArn and so on."
  value       = aws_cloudformation_stack.sessions.outputs
}
