output "connection" {
  description = "For mailbridge's configuration; add the credential, by the file it will lie in."
  value = yamlencode({
    connections = {
      main = {
        provider   = "microsoft365"
        grant_type = "client_credentials"
        tenant     = data.azuread_client_config.current.tenant_id
        client_id  = azuread_application.mailbridge.client_id
        cloud      = var.cloud
      }
    }
  })
}

output "client_id" {
  description = "ClientId for setup.ps1."
  value       = azuread_application.mailbridge.client_id
}

output "secrets" {
  description = "terraform output -json secrets | jq -r '.NAME' > FILE"
  value       = { for name, secret in azuread_application_password.secret : name => secret.value }
  sensitive   = true
}
