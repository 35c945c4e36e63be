# Registers mailbridge in a Microsoft Entra tenant: application, enterprise application, permissions,
# consent and credential. Limiting it to mailboxes is Exchange's business, which the azuread provider
# cannot reach: apply this with `mailboxes_limited = true`, then run ../setup.ps1 with ClientId set
# and Credential = 'none'.

terraform {
  required_version = ">= 1.5"
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = ">= 3.0, < 4.0"
    }
  }
}

provider "azuread" {
  tenant_id   = var.tenant
  environment = local.environments[var.cloud]
}

locals {
  environments = {
    global    = "global"
    us_gov_l4 = "usgovernmentl4"
    us_gov_l5 = "usgovernmentl5"
    china     = "china"
  }
  # with a limit, Exchange grants these, and a grant here would open every mailbox
  by_exchange = var.mailboxes_limited ? ["Mail.Send", "Mail.ReadWrite", "Mail.Read"] : []
  granted     = setsubtract(var.permissions, local.by_exchange)
}

data "azuread_client_config" "current" {}

data "azuread_application_published_app_ids" "well_known" {}

# Microsoft Graph in this tenant: its permissions by name, so that no id stands here.
data "azuread_service_principal" "graph" {
  client_id = data.azuread_application_published_app_ids.well_known.result["MicrosoftGraph"]
}

resource "azuread_application" "mailbridge" {
  display_name     = var.app_name
  sign_in_audience = var.multi_tenant ? "AzureADMultipleOrgs" : "AzureADMyOrg"
  owners           = [data.azuread_client_config.current.object_id]

  dynamic "required_resource_access" {
    for_each = length(local.granted) > 0 ? [1] : []
    content {
      resource_app_id = data.azuread_service_principal.graph.client_id

      dynamic "resource_access" {
        for_each = local.granted
        content {
          id   = data.azuread_service_principal.graph.app_role_ids[resource_access.value]
          type = "Role"
        }
      }
    }
  }
}

resource "azuread_service_principal" "mailbridge" {
  client_id = azuread_application.mailbridge.client_id
  owners    = [data.azuread_client_config.current.object_id]
}

# Admin consent. Whoever applies this must be allowed to grant permissions of Microsoft Graph:
# Privileged Role Administrator or Global Administrator.
resource "azuread_app_role_assignment" "granted" {
  for_each            = local.granted
  app_role_id         = data.azuread_service_principal.graph.app_role_ids[each.value]
  principal_object_id = azuread_service_principal.mailbridge.object_id
  resource_object_id  = data.azuread_service_principal.graph.object_id
}
