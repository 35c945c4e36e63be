variable "tenant" {
  description = "The tenant's GUID."
  type        = string
}

variable "cloud" {
  description = "As in mailbridge's configuration."
  type        = string
  default     = "global"
  validation {
    condition     = contains(["global", "us_gov_l4", "us_gov_l5", "china"], var.cloud)
    error_message = "give global, us_gov_l4, us_gov_l5 or china"
  }
}

variable "app_name" {
  description = "The name in the portal."
  type        = string
  default     = "mailbridge"
}

variable "multi_tenant" {
  description = "Whether other tenants may consent to the app too."
  type        = bool
  default     = false
}

variable "permissions" {
  description = "Mail.Send is all that at_least_once needs; Mail.ReadWrite is for once and after; Mail.Read reads mailboxes."
  type        = set(string)
  default     = ["Mail.Send", "Mail.ReadWrite", "User.Read.All"]
  validation {
    condition = length(setsubtract(
      var.permissions,
      ["Mail.Send", "Mail.ReadWrite", "Mail.Read", "User.Read.All", "GroupMember.Read.All"]
    )) == 0
    error_message = "mailbridge uses Mail.Send, Mail.ReadWrite, Mail.Read, User.Read.All and GroupMember.Read.All"
  }
}

variable "mailboxes_limited" {
  description = "True: the mail permissions are left to Exchange, for some mailboxes (setup.ps1)."
  type        = bool
  default     = false
}

variable "credential" {
  description = "secret, certificate, federated or none."
  type        = string
  default     = "certificate"
  validation {
    condition     = contains(["secret", "certificate", "federated", "none"], var.credential)
    error_message = "give secret, certificate, federated or none"
  }
}

variable "secrets" {
  description = "Secrets by a name of yours, with their end (RFC 3339). Rotate: add one, then drop one."
  type        = map(string)
  default     = {}
}

variable "certificates" {
  description = "Certificates by a name of yours: PEM file (no key) and end. Rotate: add, then drop."
  type        = map(object({ file = string, end_date = string }))
  default     = {}
}

variable "federated" {
  description = "What the other issuer puts into its tokens: iss, sub and aud."
  type = object({
    issuer   = string
    subject  = string
    audience = optional(string, "api://AzureADTokenExchange")
  })
  default = { issuer = "", subject = "" }
}
