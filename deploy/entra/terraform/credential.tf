# The credential, by kind. Only a secret passes through Terraform's state; keep that state where
# secrets may be kept, or take a certificate or a federated credential.

resource "azuread_application_password" "secret" {
  for_each       = var.credential == "secret" ? var.secrets : {}
  application_id = azuread_application.mailbridge.id
  display_name   = "mailbridge ${each.key}"
  end_date       = each.value
}

resource "azuread_application_certificate" "certificate" {
  for_each       = var.credential == "certificate" ? var.certificates : {}
  application_id = azuread_application.mailbridge.id
  type           = "AsymmetricX509Cert"
  encoding       = "pem"
  value          = file(each.value.file)
  end_date       = each.value.end_date
}

resource "azuread_application_federated_identity_credential" "federated" {
  count          = var.credential == "federated" ? 1 : 0
  application_id = azuread_application.mailbridge.id
  display_name   = "mailbridge"
  description    = "the workload that mailbridge runs as"
  issuer         = var.federated.issuer
  subject        = var.federated.subject
  audiences      = [var.federated.audience]

  lifecycle {
    precondition {
      condition     = var.federated.issuer != "" && var.federated.subject != ""
      error_message = "credential = \"federated\" needs federated.issuer and federated.subject"
    }
  }
}
