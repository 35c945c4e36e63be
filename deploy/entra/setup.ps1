#Requires -Version 7.2
#
# Registers mailbridge in Microsoft Entra ID, in six steps:
#
#   1  the app registration, and its enterprise application in this tenant
#   2  the Microsoft Graph application permissions that it asks for
#   3  admin consent: those permissions granted
#   4  a credential: secret, certificate or federated credential
#   5  the connection block for mailbridge's configuration
#   6  the mailboxes it may use: Exchange role-based access control for applications
#
# Fill in the settings and run it in PowerShell 7. Run it again at any time: what is there is kept,
# what is missing is made. It stops at the first failure; cure it and run it again. Only step 6
# takes something away: once Exchange has confirmed every mailbox, the mail permissions that this
# app has for the whole tenant, since they would undo the limit.
#
#   Install-Module Microsoft.Graph.Applications -Scope CurrentUser
#   Install-Module ExchangeOnlineManagement -Scope CurrentUser        # for step 6 only
#
# It needs an account that may register applications (Application Administrator), grant application
# permissions of Microsoft Graph (Privileged Role Administrator or Global Administrator) and, for
# step 6, is in Exchange's role group Organization Management.
#
# A secret or private key is written to its file, readable by you alone, and never printed.
# Every step by hand, with the mistakes people make: docs/guide/entra.md.

# --- settings
$AppName = 'mailbridge'
$Tenant = ''
$ClientId = ''
$Cloud = 'global'
$MultiTenant = 'no'
$Permissions = 'Mail.Send Mail.ReadWrite User.Read.All'
$Credential = 'secret'
$SecretFile = './mailbridge-secret'
$CertificateFile = './mailbridge.pem'
$Years = '1'
$FederatedIssuer = ''
$FederatedSubject = ''
$FederatedAudience = 'api://AzureADTokenExchange'
$Mailboxes = ''
$MailboxGroup = ''
# --- end of settings
#
# AppName          the name in the portal; found again by it while ClientId is empty
# Tenant           the tenant's GUID or a domain of it; empty: that of the account that signs in
# ClientId         an existing app's application (client) id, or a managed identity's client id;
#                  empty: register one
# Cloud            global, us_gov_l4, us_gov_l5 or china
# MultiTenant      yes: other tenants may consent to the app too. In each of those, run this script
#                  again with ClientId set and Credential = 'none'
# Permissions      separated by spaces. Mail.Send is all that `guarantee: at_least_once` needs;
#                  Mail.ReadWrite is for `once` and for `after`; Mail.Read is enough to read
#                  mailboxes; User.Read.All and GroupMember.Read.All are for looking them up
# Credential       secret, certificate, federated or none
# SecretFile       where the new secret goes. To rotate, name a new file; the old one stays valid
# CertificateFile  key and certificate, PEM. Made if there is no such file. To rotate: a new file
# Years            how long a new secret or certificate is valid
# Federated...     what the other issuer puts into its tokens: iss, sub and aud
# Mailboxes        addresses, separated by spaces: the only mailboxes that the app may use. Mail
#                  permissions are then granted by Exchange, in step 6, and not in step 3, which
#                  would open every mailbox. Empty: every mailbox of the tenant
# MailboxGroup     the same, for the direct members of a mail-enabled security group

Set-StrictMode -Version 1.0
$ErrorActionPreference = 'Stop'

# Microsoft Graph's app id, the same in all tenants
$GraphApp = '00000003-0000-0000-c000-000000000000'
# those that Exchange can grant for some mailboxes
$MailPermissions = @('Mail.Send', 'Mail.ReadWrite', 'Mail.Read')
$DirectoryPermissions = @('User.Read.All', 'GroupMember.Read.All')
$Clouds = @{
    global    = @{ Graph = 'Global'; Exchange = 'O365Default' }
    us_gov_l4 = @{ Graph = 'USGov'; Exchange = 'O365USGovGCCHigh' }
    us_gov_l5 = @{ Graph = 'USGovDoD'; Exchange = 'O365USGovDoD' }
    china     = @{ Graph = 'China'; Exchange = 'O365China' }
}
$Fresh = $false # true once an app has been made in this run

function Write-Step([string]$Text) { Write-Host "`n$Text" }
function Write-Note([string]$Text) { Write-Host "  $Text" }
function Split-Words([string]$Text) { -split $Text | Where-Object { $_ } }

# What was made a moment ago may not be known everywhere yet. Only for what may be repeated.
function Invoke-Patiently([scriptblock]$Action) {
    for ($attempt = 1; $script:Fresh -and $attempt -le 5; $attempt++) {
        try { return & $Action } catch {
            Write-Note "not yet ($attempt of 6): $($_.Exception.Message)"
            Start-Sleep -Seconds 10
        }
    }
    & $Action
}

# An empty file that only this user may read, for what is written into it next.
function New-PrivateFile([string]$Path) {
    $null = New-Item -ItemType File -Path $Path -Force
    if ($IsWindows) {
        $null = icacls $Path /inheritance:r /grant:r "$([Environment]::UserName):(R,W,D)"
    } else {
        chmod 600 $Path
    }
    if ($LASTEXITCODE -ne 0) { throw "the permissions of $Path could not be narrowed" }
    (Resolve-Path $Path).Path
}

function Test-Settings {
    foreach ($value in $AppName, $Tenant, $ClientId, $SecretFile, $CertificateFile,
        $FederatedIssuer, $FederatedSubject, $FederatedAudience, $Mailboxes, $MailboxGroup) {
        if ($value -match '[''"`$]') {
            throw "a setting holds a quote, backtick or dollar sign: $value"
        }
    }
    if (-not $AppName) { throw 'AppName is empty' }
    if ($Cloud -notin $Clouds.Keys) {
        throw "Cloud is '$Cloud'; give global, us_gov_l4, us_gov_l5 or china"
    }
    if ($MultiTenant -notin 'yes', 'no') { throw "MultiTenant is '$MultiTenant'; give yes or no" }
    if ($Years -notmatch '^([1-9]|10)$') { throw "Years is '$Years'; give 1 to 10" }
    if ($Credential -notin 'secret', 'certificate', 'federated', 'none') {
        throw "Credential is '$Credential'; give secret, certificate, federated or none"
    }
    $federated = $FederatedIssuer -and $FederatedSubject -and $FederatedAudience
    if ($Credential -eq 'federated' -and -not $federated) {
        throw "Credential = 'federated' needs FederatedIssuer, -Subject and -Audience"
    }
    foreach ($name in Split-Words $Permissions) {
        if ($name -notin ($MailPermissions + $DirectoryPermissions)) {
            throw "Permissions names '$name'; there are $($MailPermissions + $DirectoryPermissions)"
        }
    }
    if ($Mailboxes.Contains('*')) {
        throw 'Mailboxes takes addresses, no patterns; use a MailboxGroup'
    }
    if ($Mailboxes -and $MailboxGroup) { throw 'give Mailboxes or MailboxGroup, not both' }
}

function Connect-Tenant {
    $wanted = @{
        Scopes      = 'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All'
        Environment = $Clouds[$Cloud].Graph
        NoWelcome   = $true
    }
    if ($Tenant) { $wanted.TenantId = $Tenant }
    Connect-MgGraph @wanted
    (Get-MgContext).TenantId
}

# The app registration, or nothing for another tenant's app or a managed identity: those have an
# enterprise application only.
function Step1-Application {
    $audience = if ($MultiTenant -eq 'yes') { 'AzureADMultipleOrgs' } else { 'AzureADMyOrg' }
    $filter = if ($ClientId) { "appId eq '$ClientId'" } else { "displayName eq '$AppName'" }
    $found = @(Get-MgApplication -Filter $filter -All)
    if ($found.Count -gt 1) {
        throw "these apps are all named $AppName, set ClientId to one: $($found.AppId -join ', ')"
    }
    if ($found.Count -eq 0 -and $ClientId) {
        $known = Get-MgServicePrincipal -Filter "appId eq '$ClientId'"
        if (-not $known -and $MultiTenant -ne 'yes') {
            throw ("this tenant has no app with the client id $ClientId; " +
                "is it the object id, or another tenant's app (then MultiTenant = 'yes')?")
        }
        if ($Credential -ne 'none') {
            throw ("$ClientId is not registered in this tenant, so its credential is elsewhere; " +
                "set Credential = 'none'")
        }
        Write-Note 'it is a managed identity, or registered in another tenant'
        return $null
    }
    if ($found.Count -eq 0) {
        $made = New-MgApplication -DisplayName $AppName -SignInAudience $audience
        $script:Fresh = $true
        Write-Note "registered $AppName"
        return $made
    }
    if ($found[0].SignInAudience -ne $audience) {
        if ($MultiTenant -eq 'yes') {
            $null = Update-MgApplication -ApplicationId $found[0].Id -SignInAudience $audience
        } else {
            Write-Note "note: this app is open to $($found[0].SignInAudience); left as it is"
        }
    }
    $found[0]
}

# The enterprise application: what this tenant grants permissions to.
function Step1-Principal([string]$AppId) {
    $found = Get-MgServicePrincipal -Filter "appId eq '$AppId'"
    if (-not $found) {
        $found = Invoke-Patiently { New-MgServicePrincipal -AppId $AppId }
        $script:Fresh = $true
        Write-Note "made its enterprise application, object id $($found.Id)"
    }
    $found
}

# Adds what is missing to the registration's list; what else it lists is kept.
function Step2-Ask($Application, [string[]]$RoleIds) {
    $asked = @($Application.RequiredResourceAccess | Where-Object ResourceAppId -eq $GraphApp |
            ForEach-Object ResourceAccess | ForEach-Object Id)
    $missing = @($RoleIds | Where-Object { $_ -notin $asked })
    if ($missing.Count -eq 0) {
        Write-Note 'nothing to add'
        return
    }
    Set-AskedFor $Application $missing @()
    Write-Note "added $($missing.Count)"
}

function Set-AskedFor($Application, [string[]]$Added, [string[]]$Removed) {
    $lists = @{ $GraphApp = @($Added | ForEach-Object { @{ Id = $_; Type = 'Role' } }) }
    foreach ($list in $Application.RequiredResourceAccess) {
        $kept = @($list.ResourceAccess | Where-Object {
                $list.ResourceAppId -ne $GraphApp -or $_.Id -notin $Removed
            } | ForEach-Object { @{ Id = $_.Id; Type = $_.Type } })
        $lists[$list.ResourceAppId] = $kept + @($lists[$list.ResourceAppId] | Where-Object { $_ })
    }
    $access = @($lists.GetEnumerator() | Where-Object { $_.Value.Count -gt 0 } |
            ForEach-Object { @{ ResourceAppId = $_.Key; ResourceAccess = $_.Value } })
    $null = Invoke-Patiently {
        Update-MgApplication -ApplicationId $Application.Id -RequiredResourceAccess $access
    }
}

function Step3-Consent($Principal, $Graph, [string[]]$Names) {
    $granted = @(Get-Grants $Principal $Graph | ForEach-Object AppRoleId)
    $ours = $MailPermissions + $DirectoryPermissions
    foreach ($role in $Graph.AppRoles | Where-Object Value -in $ours) {
        $there = $role.Id -in $granted
        if ($role.Value -in $Names -and -not $there) {
            $null = Invoke-Patiently {
                New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Principal.Id `
                    -PrincipalId $Principal.Id -ResourceId $Graph.Id -AppRoleId $role.Id
            }
            Write-Note "granted $($role.Value)"
        } elseif ($role.Value -in $Names) {
            Write-Note "$($role.Value) is granted"
        } elseif ($there) {
            Write-Note "note: $($role.Value) is granted too, for the whole tenant"
        }
    }
}

# What Microsoft Graph lets this app do in the whole tenant.
function Get-Grants($Principal, $Graph) {
    Invoke-Patiently {
        Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Principal.Id -All
    } | Where-Object ResourceId -eq $Graph.Id
}

# The name of the secret to come is written down before it is asked for: should this script be
# stopped in between, the next run removes that secret, whose value nobody has, and makes another.
function Step4-Secret($Application) {
    $pending = "$SecretFile.pending"
    $known = @((Get-MgApplication -ApplicationId $Application.Id).PasswordCredentials)
    $there = (Test-Path $SecretFile) -and (Get-Item $SecretFile).Length -gt 0
    if ($there -and -not (Test-Path $pending)) {
        # Graph gives away the first three characters, which is enough to tell which one it is
        $start = (Get-Content -Raw $SecretFile).Substring(0, 3)
        $match = @($known | Where-Object Hint -ceq $start)
        if ($match.Count -eq 0) {
            throw "$SecretFile holds no secret of this app; move it away to get a new one"
        }
        Write-Note "$SecretFile is kept"
        return $match[-1].EndDateTime
    }
    if (Test-Path $pending) {
        $lost = Get-Content -Raw $pending
        foreach ($secret in $known | Where-Object DisplayName -ceq $lost) {
            Remove-MgApplicationPassword -ApplicationId $Application.Id -KeyId $secret.KeyId
            Write-Note 'removed the secret of a run that was stopped half-way'
        }
    }
    $name = "mailbridge $((Get-Date).ToUniversalTime().ToString('s'))Z $PID"
    $path = New-PrivateFile $SecretFile
    Set-Content -NoNewline -Path $pending -Value $name
    $secret = Add-MgApplicationPassword -ApplicationId $Application.Id -PasswordCredential @{
        DisplayName = $name
        EndDateTime = (Get-Date).ToUniversalTime().AddYears([int]$Years)
    }
    [IO.File]::WriteAllText($path, $secret.SecretText)
    Remove-Item $pending
    Write-Note "a new secret is in $SecretFile"
    $secret.EndDateTime
}

# The private key stays in the file; only the certificate is uploaded.
function Step4-Certificate($Application) {
    if (-not (Test-Path $CertificateFile)) { New-CertificateFile }
    $text = Get-Content -Raw $CertificateFile
    if ($text -notmatch '-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----') {
        throw "$CertificateFile holds no certificate"
    }
    $bytes = [Convert]::FromBase64String($Matches[1])
    $certificate = [Security.Cryptography.X509Certificates.X509Certificate2]::new($bytes)
    $hash = $certificate.GetCertHashString([Security.Cryptography.HashAlgorithmName]::SHA256)
    $name = "mailbridge $($hash.Substring(0, 32))"
    $known = @((Get-MgApplication -ApplicationId $Application.Id).KeyCredentials)
    if ($name -in @($known | ForEach-Object DisplayName)) {
        Write-Note 'the certificate is there'
    } else {
        $new = @{
            DisplayName = $name
            Type        = 'AsymmetricX509Cert'
            Usage       = 'Verify'
            Key         = $certificate.RawData
        }
        $null = Update-MgApplication -ApplicationId $Application.Id -KeyCredentials ($known + $new)
        Write-Note 'uploaded the certificate'
    }
    $certificate.NotAfter.ToUniversalTime()
}

function New-CertificateFile {
    $key = [Security.Cryptography.RSA]::Create(3072)
    $request = [Security.Cryptography.X509Certificates.CertificateRequest]::new(
        "CN=$AppName", $key, [Security.Cryptography.HashAlgorithmName]::SHA256,
        [Security.Cryptography.RSASignaturePadding]::Pkcs1)
    $now = [DateTimeOffset]::UtcNow
    $made = $request.CreateSelfSigned($now.AddMinutes(-5), $now.AddYears([int]$Years))
    $part = New-PrivateFile "$CertificateFile.part"
    [IO.File]::WriteAllText($part, (ConvertTo-Pem 'PRIVATE KEY' $key.ExportPkcs8PrivateKey()) +
        (ConvertTo-Pem 'CERTIFICATE' $made.RawData))
    Move-Item $part $CertificateFile
    Write-Note "made a key and a self-signed certificate in $CertificateFile"
}

function ConvertTo-Pem([string]$Label, [byte[]]$Bytes) {
    $body = [Convert]::ToBase64String($Bytes, 'InsertLineBreaks').Replace("`r", '')
    "-----BEGIN $Label-----`n$body`n-----END $Label-----`n"
}

function Step4-Federated($Application) {
    $found = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $Application.Id -All |
            Where-Object { $_.Issuer -ceq $FederatedIssuer -and $_.Subject -ceq $FederatedSubject })
    if ($found.Count -eq 0) {
        # a name made from what must be unique is the same in every run
        $bytes = [Text.Encoding]::UTF8.GetBytes("$FederatedIssuer`n$FederatedSubject")
        $hash = [Convert]::ToHexString([Security.Cryptography.SHA256]::HashData($bytes))
        $new = @{
            Name      = "mailbridge-$($hash.Substring(0, 10).ToLower())"
            Issuer    = $FederatedIssuer
            Subject   = $FederatedSubject
            Audiences = @($FederatedAudience)
        }
        $null = New-MgApplicationFederatedIdentityCredential -ApplicationId $Application.Id `
            -BodyParameter $new
        Write-Note 'made the federated credential'
    } elseif ($FederatedAudience -in $found[0].Audiences) {
        Write-Note 'the federated credential is there'
    } else {
        throw ("the federated credential for this issuer and subject has the audience " +
            "$($found[0].Audiences); change it in the portal, or set FederatedAudience")
    }
}

function Step5-Connection([string]$TenantId, [string]$AppId, $Expires) {
    $until = if ($Expires) { $Expires.ToString('yyyy-MM-dd') }
    $block = switch ($Credential) {
        'secret' { "{ client_secret: { file: `"$SecretFile`" }, expires: $until }" }
        'certificate' { "{ certificate: { file: `"$CertificateFile`" } }   # until $until" }
        'federated' { '{ federated_token: {} }' }
        'none' { '{}   # the one that you have' }
    }
    @"
connections:
  main:
    provider: microsoft365
    grant_type: client_credentials
    tenant: $TenantId
    client_id: $AppId
    cloud: $Cloud
    credential: $block
"@
}

# True once Exchange says that every mailbox is in scope.
function Step6-Scope([string]$AppId, $Principal) {
    Connect-ExchangeOnline -ExchangeEnvironmentName $Clouds[$Cloud].Exchange -ShowBanner:$false
    if ((Get-OrganizationConfig).IsDehydrated) { Enable-OrganizationCustomization }
    if (-not (Get-ServicePrincipal -Identity $Principal.Id -ErrorAction SilentlyContinue)) {
        $null = New-ServicePrincipal -AppId $AppId -ObjectId $Principal.Id -DisplayName $AppName
        Write-Note 'made known to Exchange'
    }
    $scope = "$AppName mailboxes"
    $filter = if ($MailboxGroup) {
        "MemberOfGroup -eq '$((Get-Group -Identity $MailboxGroup).DistinguishedName)'"
    } else {
        @(Split-Words $Mailboxes | ForEach-Object { "PrimarySmtpAddress -eq '$_'" }) -join ' -or '
    }
    if (Get-ManagementScope -Identity $scope -ErrorAction SilentlyContinue) {
        Set-ManagementScope -Identity $scope -RecipientRestrictionFilter $filter
    } else {
        $null = New-ManagementScope -Name $scope -RecipientRestrictionFilter $filter
    }
    foreach ($name in Split-Words $Permissions | Where-Object { $_ -in $MailPermissions }) {
        $assignment = "$AppName $name"
        $there = Get-ManagementRoleAssignment -Identity $assignment -ErrorAction SilentlyContinue
        if (-not $there) {
            $null = New-ManagementRoleAssignment -Name $assignment -App $Principal.Id `
                -Role "Application $name" -CustomResourceScope $scope
            Write-Note "granted $name for these mailboxes"
        }
    }
    $all = $true
    foreach ($mailbox in Split-Words $Mailboxes) {
        $rows = @(Test-ServicePrincipalAuthorization -Identity $Principal.Id -Resource $mailbox)
        $rows | Format-Table | Out-Host
        $outside = @($rows | Where-Object { "$($_.InScope)" -ne 'True' })
        if ($rows.Count -eq 0 -or $outside.Count -gt 0) { $all = $false }
    }
    $all
}

# Grants of Entra and of Exchange add up: one for the whole tenant undoes the limit.
function Step6-TakeBack($Application, $Principal, $Graph) {
    $mail = @($Graph.AppRoles | Where-Object { $_.Value -in $MailPermissions } | ForEach-Object Id)
    foreach ($grant in Get-Grants $Principal $Graph | Where-Object AppRoleId -in $mail) {
        Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Principal.Id `
            -AppRoleAssignmentId $grant.Id
        Write-Note 'took back a mail permission for the whole tenant'
    }
    if (-not $Application) { return }
    # not asked for either, or the next click on "Grant admin consent" brings it back
    Set-AskedFor (Get-MgApplication -ApplicationId $Application.Id) @() $mail
}

Test-Settings
$tenantId = Connect-Tenant

Write-Step '1 the app registration'
$application = Step1-Application
$appId = if ($application) { $application.AppId } else { $ClientId }
$principal = Step1-Principal $appId
Write-Note "client id $appId"

Write-Step '2 the permissions it asks for'
$graph = Get-MgServicePrincipal -Filter "appId eq '$GraphApp'"
$scoped = [bool]($Mailboxes -or $MailboxGroup)
$here = @(Split-Words $Permissions | Where-Object { -not ($scoped -and $_ -in $MailPermissions) })
$ids = @($graph.AppRoles | Where-Object Value -in $here | ForEach-Object Id)
if ($ids.Count -ne $here.Count) { throw "Microsoft Graph in this cloud lacks one of: $here" }
if ($application) { Step2-Ask $application $ids }

Write-Step '3 admin consent'
Step3-Consent $principal $graph $here

Write-Step "4 the credential ($Credential)"
$expires = switch ($Credential) {
    'secret' { Step4-Secret $application }
    'certificate' { Step4-Certificate $application }
    'federated' { Step4-Federated $application }
    'none' { Write-Note 'none asked for' }
}

Write-Step "5 the connection, for mailbridge's configuration"
Step5-Connection $tenantId $appId $expires

Write-Step '6 the mailboxes it may use'
if (-not $scoped) {
    Write-Note 'all of the tenant. To limit it, set Mailboxes or MailboxGroup and run this again'
} elseif (Step6-Scope $appId $principal) {
    Step6-TakeBack $application $principal $graph
    Write-Note 'limited. Exchange takes 30 minutes to 2 hours until it acts on a change'
} else {
    Write-Note 'not every mailbox is in scope, so nothing was taken back; cure that, run this again'
}
