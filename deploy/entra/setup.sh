#!/usr/bin/env bash
#
# Registers mailbridge in Microsoft Entra ID, in six steps:
#
#   1  the app registration, and its enterprise application in this tenant
#   2  the Microsoft Graph application permissions that it asks for
#   3  admin consent: those permissions granted
#   4  a credential: secret, certificate or federated credential
#   5  the connection block for mailbridge's configuration
#   6  the mailboxes it may use: commands for Exchange Online PowerShell
#
# Fill in the settings, sign in with `az login`, run it. Run it again at any time: what is there is
# kept, what is missing is made, nothing is taken away. It stops at the first failure; cure it and
# run it again.
#
# It needs the Azure CLI (`az`), openssl for CREDENTIAL='certificate', and an account that may
# - register applications and manage their credentials (Application Administrator is enough), and
# - grant application permissions of Microsoft Graph (Privileged Role Administrator or Global
#   Administrator; Application Administrator is not enough for step 3).
#
# A secret or private key is written to its file, readable by you alone, and never printed.
# Every step by hand, with the mistakes people make: docs/guide/entra.md.

# --- settings
APP_NAME='mailbridge'
TENANT=''
CLIENT_ID=''
CLOUD='global'
MULTI_TENANT='no'
PERMISSIONS='Mail.Send Mail.ReadWrite User.Read.All'
CREDENTIAL='secret'
SECRET_FILE='./mailbridge-secret'
CERTIFICATE_FILE='./mailbridge.pem'
YEARS='1'
FEDERATED_ISSUER=''
FEDERATED_SUBJECT=''
FEDERATED_AUDIENCE='api://AzureADTokenExchange'
MAILBOXES=''
MAILBOX_GROUP=''
# --- end of settings
#
# APP_NAME          the name in the portal; found again by it while CLIENT_ID is empty
# TENANT            the tenant's GUID or a domain of it; empty: the one that `az` is signed in to
# CLIENT_ID         an existing app's application (client) id, or a managed identity's client id;
#                   empty: register one
# CLOUD             global, us_gov_l4 or china (us_gov_l5: use setup.ps1 or Terraform; `az` does not
#                   know that cloud's Graph)
# MULTI_TENANT      yes: other tenants may consent to the app too. In each of those, run this script
#                   again with CLIENT_ID set and CREDENTIAL='none'
# PERMISSIONS       separated by spaces. Mail.Send is all that `guarantee: at_least_once` needs;
#                   Mail.ReadWrite is for `once` and for `after`; Mail.Read is enough to read
#                   mailboxes; User.Read.All and GroupMember.Read.All are for looking them up
# CREDENTIAL        secret, certificate, federated or none
# SECRET_FILE       where the new secret goes. To rotate, name a new file; the old one stays valid
# CERTIFICATE_FILE  key and certificate, PEM. Made if there is no such file. To rotate: a new file
# YEARS             how long a new secret or certificate is valid
# FEDERATED_...     what the other issuer puts into its tokens: iss, sub and aud
# MAILBOXES         addresses, separated by spaces: the only mailboxes that the app may use. Mail
#                   permissions are then not granted here (that would open every mailbox) but in
#                   Exchange, with the commands of step 6. Empty: every mailbox of the tenant
# MAILBOX_GROUP     the same, for the direct members of a mail-enabled security group

set -euo pipefail
umask 077

GRAPH_APP='00000003-0000-0000-c000-000000000000' # Microsoft Graph's app id, the same in all tenants
MAIL_PERMISSIONS='Mail.Send Mail.ReadWrite Mail.Read' # those that Exchange can grant for some mailboxes
DIRECTORY_PERMISSIONS='User.Read.All GroupMember.Read.All'
fresh=no                                         # yes once an app has been made in this run

step() { printf '\n%s\n' "$*" >&2; }
say() { printf '  %s\n' "$*" >&2; }
fail() {
  printf 'setup.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

# Windows' az ends its lines with a carriage return.
az() { command az "$@" | tr -d '\r'; }

# A word of a list.
in_list() { case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac }

# A line of a text.
in_lines() { grep -qixF -- "$1" <<<"$2"; }

# What was made a moment ago may not be known everywhere yet. Only for what may be repeated.
patiently() {
  local attempt
  if [ "$fresh" = yes ]; then
    for attempt in 1 2 3 4 5; do
      if "$@"; then return 0; fi
      say "not yet ($attempt of 6); what was just made takes a moment to be known; again in 10 s"
      sleep 10
    done
  fi
  "$@"
}

check_settings() {
  local value
  for value in "$APP_NAME" "$TENANT" "$CLIENT_ID" "$SECRET_FILE" "$CERTIFICATE_FILE" \
    "$FEDERATED_ISSUER" "$FEDERATED_SUBJECT" "$FEDERATED_AUDIENCE" "$MAILBOXES" "$MAILBOX_GROUP"; do
    case "$value" in
    *[\'\"\\\`\$]*) fail "a setting holds a quote, backslash, backtick or dollar sign: $value" 2 ;;
    esac
  done
  [ -n "$APP_NAME" ] || fail 'APP_NAME is empty' 2
  case "$MULTI_TENANT" in
  yes | no) ;;
  *) fail "MULTI_TENANT is '$MULTI_TENANT'; give yes or no" 2 ;;
  esac
  case "$YEARS" in
  [1-9] | 10) ;;
  *) fail "YEARS is '$YEARS'; give 1 to 10" 2 ;;
  esac
  case "$CLOUD" in
  global) az_cloud='AzureCloud' ;;
  us_gov_l4) az_cloud='AzureUSGovernment' ;;
  china) az_cloud='AzureChinaCloud' ;;
  us_gov_l5) fail 'az does not know the Graph of us_gov_l5; use setup.ps1 or Terraform' 2 ;;
  *) fail "CLOUD is '$CLOUD'; give global, us_gov_l4, us_gov_l5 or china" 2 ;;
  esac
  case "$CREDENTIAL" in
  none) ;;
  secret) check_folder SECRET_FILE "$SECRET_FILE" ;;
  certificate)
    check_folder CERTIFICATE_FILE "$CERTIFICATE_FILE"
    command -v openssl >/dev/null || fail "CREDENTIAL='certificate' needs openssl"
    ;;
  federated)
    for value in "$FEDERATED_ISSUER" "$FEDERATED_SUBJECT" "$FEDERATED_AUDIENCE"; do
      [ -n "$value" ] || fail "CREDENTIAL='federated' needs FEDERATED_ISSUER, _SUBJECT, _AUDIENCE" 2
    done
    ;;
  *) fail "CREDENTIAL is '$CREDENTIAL'; give secret, certificate, federated or none" 2 ;;
  esac
  for value in $PERMISSIONS; do
    in_list "$value" "$MAIL_PERMISSIONS $DIRECTORY_PERMISSIONS" ||
      fail "PERMISSIONS names '$value'; there are $MAIL_PERMISSIONS $DIRECTORY_PERMISSIONS" 2
  done
  case "$MAILBOXES" in
  *'*'*) fail 'MAILBOXES takes addresses, no patterns; use a MAILBOX_GROUP' 2 ;;
  esac
  [ -z "$MAILBOXES" ] || [ -z "$MAILBOX_GROUP" ] ||
    fail 'give MAILBOXES or MAILBOX_GROUP, not both' 2
  type -P az >/dev/null || fail 'the Azure CLI (az) is not installed'
}

check_folder() {
  [ -w "$(dirname "$2")" ] || fail "$1 is $2, and nothing can be written to that folder" 2
}

# Sets: tenant_id, graph (its address, with no slash at the end).
sign_in() {
  if [ "$(az cloud show --query name -o tsv)" != "$az_cloud" ]; then
    az cloud set --name "$az_cloud"
    say "az works in $az_cloud now; back to the global cloud: az cloud set --name AzureCloud"
  fi
  local login="az login --allow-no-subscriptions${TENANT:+ --tenant $TENANT}" names
  tenant_id=$(az account show --query tenantId -o tsv) || fail "not signed in; run: $login"
  graph=$(az cloud show --query endpoints.microsoftGraphResourceId -o tsv)
  graph=${graph%/}
  [ -n "$TENANT" ] && [ "$TENANT" != "$tenant_id" ] || return 0
  names=$(az rest --url "$graph/v1.0/organization" --query 'value[].verifiedDomains[].name' -o tsv)
  in_lines "$TENANT" "$names" ||
    fail "az is signed in to tenant $tenant_id, not $TENANT; run: $login"
}

# Sets: client_id, elsewhere (yes for another tenant's app or a managed identity), principal (the
# object id of the enterprise application).
step_1_register() {
  step '1 the app registration'
  local audience=AzureADMyOrg found
  [ "$MULTI_TENANT" = no ] || audience=AzureADMultipleOrgs
  client_id=$CLIENT_ID
  elsewhere=no
  [ -n "$client_id" ] || find_or_make "$audience"
  found=$(az ad app list --app-id "$client_id" --query '[].signInAudience' -o tsv)
  principal=$(az ad sp list --filter "appId eq '$client_id'" --query '[].id' -o tsv)
  case "$found" in
  "$audience") ;;
  '')
    [ "$fresh" = yes ] || not_registered_here
    ;;
  *)
    [ "$MULTI_TENANT" = yes ] || say "note: this app is open to $found; left as it is"
    [ "$MULTI_TENANT" = no ] || az ad app update --id "$client_id" --sign-in-audience "$audience"
    ;;
  esac
  if [ -z "$principal" ]; then
    principal=$(patiently az ad sp create --id "$client_id" --query id -o tsv)
    fresh=yes
    say "made its enterprise application, object id $principal"
  fi
  say "client id $client_id"
}

find_or_make() {
  client_id=$(az ad app list --filter "displayName eq '$APP_NAME'" --query '[].appId' -o tsv)
  case "$client_id" in
  '') ;;
  *$'\n'*)
    printf '%s\n' "$client_id" >&2
    fail "these apps are all named $APP_NAME; set CLIENT_ID to one of them"
    ;;
  *) return ;;
  esac
  client_id=$(az ad app create --display-name "$APP_NAME" --sign-in-audience "$1" \
    --query appId -o tsv)
  fresh=yes
  say "registered $APP_NAME"
}

# A managed identity has an enterprise application and no registration; so has another tenant's app
# that somebody here has consented to.
not_registered_here() {
  [ -n "$principal" ] || [ "$MULTI_TENANT" = yes ] ||
    fail "this tenant has no app with the client id $client_id; is it the object id, or another \
tenant's app (then MULTI_TENANT='yes')?"
  [ "$CREDENTIAL" = none ] ||
    fail "$client_id is not registered in this tenant, so it has its credential elsewhere; set \
CREDENTIAL='none'"
  elsewhere=yes
  say 'it is a managed identity, or registered in another tenant'
}

# Sets: roles (name and id, a line each), graph_principal, here (the permissions to grant in Entra),
# declared (the ids of those that the app asks for).
step_2_ask() {
  step '2 the permissions it asks for'
  local name missing=()
  roles=$(az ad sp show --id "$GRAPH_APP" -o tsv \
    --query "appRoles[?isEnabled && contains(allowedMemberTypes, 'Application')].[value, id]")
  graph_principal=$(az ad sp show --id "$GRAPH_APP" --query id -o tsv)
  here=''
  declared=''
  for name in $MAIL_PERMISSIONS $DIRECTORY_PERMISSIONS; do
    role_id "$name" >/dev/null
  done
  for name in $PERMISSIONS; do
    if [ -n "$MAILBOXES$MAILBOX_GROUP" ] && in_list "$name" "$MAIL_PERMISSIONS"; then
      say "$name is left to step 6, for the given mailboxes only"
    else
      here="$here $name"
    fi
  done
  if [ "$elsewhere" = yes ]; then
    say 'nothing to add: an app asks where it is registered, a managed identity does not ask'
    return
  fi
  declared=$(az ad app permission list --id "$client_id" \
    --query "[?resourceAppId=='$GRAPH_APP'].resourceAccess[].id" -o tsv)
  for name in $here; do
    in_lines "$(role_id "$name")" "$declared" || missing+=("$(role_id "$name")=Role")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say 'nothing to add'
    return
  fi
  patiently az ad app permission add --id "$client_id" --api "$GRAPH_APP" \
    --api-permissions "${missing[@]}" --only-show-errors
  say "added:$here"
}

role_id() {
  local id
  id=$(printf '%s\n' "$roles" | awk -F '\t' -v name="$1" '$1 == name { print $2 }')
  [ -n "$id" ] || fail "Microsoft Graph in this cloud has no application permission $1"
  printf '%s' "$id"
}

step_3_consent() {
  step '3 admin consent'
  local url="$graph/v1.0/servicePrincipals/$principal/appRoleAssignments" name granted id body
  granted=$(patiently az rest --url "$url" \
    --query "value[?resourceId=='$graph_principal'].appRoleId" -o tsv)
  for name in $here; do
    id=$(role_id "$name")
    if in_lines "$id" "$granted"; then
      say "$name is granted"
      continue
    fi
    body=$(printf '{"principalId":"%s","resourceId":"%s","appRoleId":"%s"}' \
      "$principal" "$graph_principal" "$id")
    patiently az rest --method post --url "$url" --headers 'Content-Type=application/json' \
      --body "$body" --output none ||
      fail "$name was not granted; it takes a Privileged Role or Global Administrator"
    say "granted $name"
  done
  for name in $MAIL_PERMISSIONS $DIRECTORY_PERMISSIONS; do
    in_list "$name" "$here" || ! in_lines "$(role_id "$name")" "$granted" ||
      say "note: $name is granted too, for the whole tenant, and the settings do not ask for that"
  done
}

step_4_credential() {
  step "4 the credential ($CREDENTIAL)"
  expires=''
  case "$CREDENTIAL" in
  secret) add_secret ;;
  certificate) add_certificate ;;
  federated) add_federated ;;
  none) say 'none asked for' ;;
  esac
}

# The name of the secret to come is written down before it is asked for: should this script be
# stopped in between, the next run removes that secret, whose value nobody has, and makes another.
add_secret() {
  local pending="$SECRET_FILE.pending" name hint ends
  if [ -s "$SECRET_FILE" ] && [ ! -e "$pending" ]; then
    # Graph gives away the first three characters, which is enough to tell which one it is
    while IFS="$(printf '\t')" read -r hint ends; do
      [ "$hint" != "$(head -c 3 "$SECRET_FILE")" ] || expires=${ends%%T*}
    done <<<"$(az ad app credential list --id "$client_id" --query '[].[hint, endDateTime]' -o tsv)"
    [ -n "$expires" ] ||
      fail "$SECRET_FILE holds no secret of this app; move it away to get a new one"
    say "$SECRET_FILE is kept"
    return
  fi
  [ ! -s "$pending" ] || remove_secret "$(cat "$pending")"
  name="mailbridge $(date -u +%Y-%m-%dT%H:%M:%SZ) $$"
  printf '%s' "$name" >"$pending"
  : >"$SECRET_FILE"
  chmod 600 "$SECRET_FILE"
  az ad app credential reset --id "$client_id" --append --display-name "$name" --years "$YEARS" \
    --query password -o tsv --only-show-errors | tr -d '\n' >"$SECRET_FILE"
  [ -s "$SECRET_FILE" ] || fail 'az gave no secret'
  expires=$(az ad app credential list --id "$client_id" \
    --query "[?displayName=='$name'].endDateTime" -o tsv)
  expires=${expires%%T*}
  rm -f "$pending"
  say "a new secret is in $SECRET_FILE"
}

remove_secret() {
  local key
  for key in $(az ad app credential list --id "$client_id" \
    --query "[?displayName=='$1'].keyId" -o tsv); do
    az ad app credential delete --id "$client_id" --key-id "$key"
    say 'removed the secret of a run that was stopped half-way'
  done
}

# The private key stays in the file; only the certificate is uploaded.
add_certificate() {
  local name certificate
  if [ ! -s "$CERTIFICATE_FILE" ]; then
    openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days $((YEARS * 365)) -subj "/CN=$APP_NAME" \
      -keyout "$CERTIFICATE_FILE.part" -out "$CERTIFICATE_FILE.cer" 2>/dev/null ||
      fail "openssl could not make a certificate at $CERTIFICATE_FILE"
    cat "$CERTIFICATE_FILE.cer" >>"$CERTIFICATE_FILE.part"
    chmod 600 "$CERTIFICATE_FILE.part"
    rm "$CERTIFICATE_FILE.cer"
    mv "$CERTIFICATE_FILE.part" "$CERTIFICATE_FILE"
    say "made a key and a self-signed certificate in $CERTIFICATE_FILE"
  fi
  certificate=$(openssl x509 -in "$CERTIFICATE_FILE") ||
    fail "$CERTIFICATE_FILE holds no certificate"
  expires=$(openssl x509 -in "$CERTIFICATE_FILE" -noout -enddate)
  expires=${expires#notAfter=}
  name=$(openssl x509 -in "$CERTIFICATE_FILE" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g')
  name="mailbridge ${name:0:32}"
  if in_lines "$name" "$(az ad app credential list --id "$client_id" --cert \
    --query '[].displayName' -o tsv)"; then
    say 'the certificate is there'
    return
  fi
  az ad app credential reset --id "$client_id" --append --display-name "$name" \
    --cert "$certificate" --end-date "$expires" --only-show-errors --output none
  say 'uploaded the certificate'
}

add_federated() {
  local name found body
  # the name is made from what must be unique, so that it is the same in every run
  name=$(printf '%s\n%s' "$FEDERATED_ISSUER" "$FEDERATED_SUBJECT" | cksum | cut -d ' ' -f 1)
  body=$(printf '{"name":"mailbridge-%s","issuer":"%s","subject":"%s","audiences":["%s"]}' \
    "$name" "$FEDERATED_ISSUER" "$FEDERATED_SUBJECT" "$FEDERATED_AUDIENCE")
  found=$(az ad app federated-credential list --id "$client_id" \
    --query "[?issuer=='$FEDERATED_ISSUER' && subject=='$FEDERATED_SUBJECT'].audiences[]" -o tsv)
  if [ -z "$found" ]; then
    az ad app federated-credential create --id "$client_id" --parameters "$body" --output none
    say 'made the federated credential'
  elif in_lines "$FEDERATED_AUDIENCE" "$found"; then
    say 'the federated credential is there'
  else
    fail "the federated credential for this issuer and subject has the audience $found; \
change it in the portal, or set FEDERATED_AUDIENCE"
  fi
}

step_5_connection() {
  step "5 the connection, for mailbridge's configuration"
  cat <<END
connections:
  main:
    provider: microsoft365
    grant_type: client_credentials
    tenant: $tenant_id
    client_id: $client_id
    cloud: $CLOUD
END
  local credential
  case "$CREDENTIAL" in
  secret) credential="{ client_secret: { file: \"$SECRET_FILE\" }, expires: $expires }" ;;
  certificate) credential="{ certificate: { file: \"$CERTIFICATE_FILE\" } }   # until $expires" ;;
  federated) credential='{ federated_token: {} }' ;;
  none) credential='{}   # the one that you have' ;;
  esac
  echo "    credential: $credential"
}

step_6_mailboxes() {
  step '6 the mailboxes it may use'
  if [ -z "$MAILBOXES$MAILBOX_GROUP" ]; then
    say 'all of the tenant. To limit it, set MAILBOXES or MAILBOX_GROUP and run this again'
    return
  fi
  say 'Exchange grants that, and az cannot ask it to. Run this in PowerShell, as a member of'
  say 'Organization Management (or run setup.ps1 with the same settings):'
  local name address environment='' filter="" scope="$APP_NAME mailboxes"
  case "$CLOUD" in
  us_gov_l4) environment=' -ExchangeEnvironmentName O365USGovGCCHigh' ;;
  china) environment=' -ExchangeEnvironmentName O365China' ;;
  esac
  for address in $MAILBOXES; do
    filter="$filter${filter:+ -or }PrimarySmtpAddress -eq '$address'"
  done
  [ -z "$MAILBOX_GROUP" ] ||
    filter="MemberOfGroup -eq '\$((Get-Group '$MAILBOX_GROUP').DistinguishedName)'"
  cat <<END

Connect-ExchangeOnline$environment
# what is there already says so: go on. Other mailboxes later: Set-ManagementScope, same parameters
New-ServicePrincipal -AppId $client_id -ObjectId $principal -DisplayName '$APP_NAME'
New-ManagementScope '$scope' -RecipientRestrictionFilter "$filter"
END
  for name in $PERMISSIONS; do
    ! in_list "$name" "$MAIL_PERMISSIONS" || cat <<END
New-ManagementRoleAssignment '$APP_NAME $name' -App $principal \`
  -Role 'Application $name' -CustomResourceScope '$scope'
END
  done
  echo '# InScope must be True for these, and False for any other mailbox that you try'
  for address in ${MAILBOXES:-somebody@in.the.group}; do
    echo "Test-ServicePrincipalAuthorization $principal -Resource $address | Format-Table"
  done
  revocations
  say 'Exchange takes 30 minutes to 2 hours until it acts on a change.'
}

# Grants of Entra and of Exchange add up: one for the whole tenant undoes the limit.
revocations() {
  local url="$graph/v1.0/servicePrincipals/$principal/appRoleAssignments" name id assignment
  local intro='# then, in this shell again, take back what is granted for every mailbox:'
  for name in $MAIL_PERMISSIONS; do
    id=$(role_id "$name")
    assignment=$(az rest --url "$url" --query "value[?appRoleId=='$id'].id" -o tsv)
    if [ -n "$assignment" ]; then
      printf '%s%s\n' "${intro:+$intro$'\n'}" "az rest --method delete --url '$url/$assignment'"
      intro=''
    fi
    if in_lines "$id" "$declared"; then
      printf '%s%s\n' "${intro:+$intro$'\n'}" \
        "az ad app permission delete --id $client_id --api $GRAPH_APP --api-permissions $id"
      intro=''
    fi
  done
}

main() {
  check_settings
  sign_in
  step_1_register
  step_2_ask
  step_3_consent
  step_4_credential
  step_5_connection
  step_6_mailboxes
}

# The last line, so that a script that comes through a pipe runs whole or not at all; and nothing
# that it starts reads the pipe.
main </dev/null
